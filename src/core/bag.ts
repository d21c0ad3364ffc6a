// A collection of what is open, for sets that change with every request. Used by live-set.ts and timer.ts.
// Not a Set: V8 gives a Set a new table every few dozen changes, and each old table keeps the next one and all that
// was in it alive until a full collection. With a request in it, that is the request (half of all of a busy proxy's garbage).

interface Place<T> {
  readonly member: T;
  index: number;
}

/** Members in no particular order. */
export class Bag<T> {
  readonly #places: Place<T>[] = [];

  get size(): number {
    return this.#places.length;
  }

  /** Adds a member; returns the function that removes it. */
  add(member: T): () => void {
    const place: Place<T> = { member, index: this.#places.length };
    this.#places.push(place);
    return () => this.#remove(place);
  }

  /** The members of this moment. */
  members(): T[] {
    return this.#places.map(({ member }) => member);
  }

  /** Visits each. Who is removed meanwhile is left out, and who is added. */
  forEach(visit: (member: T) => void): void {
    for (const place of this.#places.slice()) if (this.#places[place.index] === place) visit(place.member);
  }

  #remove(place: Place<T>): void {
    // It may be gone already.
    if (this.#places[place.index] !== place) return;
    const last = this.#places.pop();
    if (!last || last === place) return;
    last.index = place.index;
    this.#places[place.index] = last;
  }
}
