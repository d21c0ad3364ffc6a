// An unordered collection for members that come and go with every request. Used by live-set.ts and timer.ts.
// Not a Set: V8 rebuilds a Set's table every few dozen changes. An old table that has reached the old generation keeps
// the newer tables and their members alive until a full collection; that was half of a busy proxy's garbage.

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

  /** A copy of the current members. */
  members(): T[] {
    return this.#places.map(({ member }) => member);
  }

  /** Visits each member. Members that are removed or added during the visit are left out. */
  forEach(visit: (member: T) => void): void {
    for (const place of this.#places.slice()) if (this.#places[place.index] === place) visit(place.member);
  }

  #remove(place: Place<T>): void {
    // The member may have been removed before: removing twice does nothing.
    if (this.#places[place.index] !== place) return;
    const last = this.#places.pop();
    if (!last || last === place) return;
    last.index = place.index;
    this.#places[place.index] = last;
  }
}
