// The map behind every limit, bounded in entries and in age.

package limit

import "time"

// bounded is a map that forgets its oldest entries: those past an age, and
// those beyond a capacity. The caller holds a lock around every method. The
// zero value is empty.
type bounded[K comparable, V any] struct {
	entries map[K]dated[V]
	order   []K // the oldest first
}

type dated[V any] struct {
	value V
	at    time.Time
}

// get returns the value of key.
func (b *bounded[K, V]) get(key K) (V, bool) {
	entry, ok := b.entries[key]
	return entry.value, ok
}

// add puts a key that is not in the map. The caller has called expire first.
func (b *bounded[K, V]) add(key K, value V, now time.Time, capacity int) {
	if b.entries == nil {
		b.entries = make(map[K]dated[V])
	}
	for len(b.order) >= capacity {
		b.dropOldest()
	}
	b.entries[key] = dated[V]{value, now}
	b.order = append(b.order, key)
}

// expire forgets the entries that are at least age old.
func (b *bounded[K, V]) expire(now time.Time, age time.Duration) {
	for len(b.order) > 0 && now.Sub(b.entries[b.order[0]].at) >= age {
		b.dropOldest()
	}
}

func (b *bounded[K, V]) dropOldest() {
	delete(b.entries, b.order[0])
	b.order = b.order[1:]
}
