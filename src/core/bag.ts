// An unordered collection for members that come and go with every request. Used by live-set.ts and timer.ts.
// Not a Set: V8 rebuilds a Set's table every few dozen changes. An old table that has reached the old generation keeps
// the newer tables and their members alive until a full collection; that was half of a busy proxy's garbage.

/** Says that something is in a bag, and takes it out. */
export interface Membership {
  /** Takes the member out of its bag. The second time it does nothing. */
  leave(): void;
}

/** The place of one member. An object and not a closure: two or three of them for each request were dearer. */
class Place<T> implements Membership {
  readonly member: T;
  index: number;
  readonly #places: Place<T>[];

  constructor(places: Place<T>[], member: T) {
    this.#places = places;
    this.member = member;
    this.index = places.length;
  }

  leave(): void {
    if (this.#places[this.index] !== this) return;
    const last = this.#places.pop();
    if (!last || last === this) return;
    last.index = this.index;
    this.#places[this.index] = last;
  }
}

/** Members in no particular order. */
export class Bag<T> {
  readonly #places: Place<T>[] = [];

  get size(): number {
    return this.#places.length;
  }

  /** Adds a member, also one that is in it already: it is then in it twice. */
  add(member: T): Membership {
    const place = new Place(this.#places, member);
    this.#places.push(place);
    return place;
  }

  /** A copy of the current members. */
  members(): T[] {
    return this.#places.map(({ member }) => member);
  }

  /** Visits each member. Members that are removed or added during the visit are left out. */
  forEach(visit: (member: T) => void): void {
    for (const place of this.#places.slice()) if (this.#places[place.index] === place) visit(place.member);
  }
}
