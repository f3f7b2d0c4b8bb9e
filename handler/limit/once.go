// Run-once: what must not be done twice is done once a key.

package limit

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// onceKept bounds how many keys are remembered.
const onceKept = 10_000

// Once runs a function once a key and gives its result to every caller, also
// to those that come shortly after. Aborted is the result of a function that
// panicked.
//
// The gate redeems each state with it: a double click must not send one code
// twice, because the provider would revoke the tokens of the first (RFC 6749
// section 4.1.2).
type Once[T any] struct {
	Aborted T
	Age     time.Duration // for how long a result is remembered

	mu    sync.Mutex
	known bounded[[sha256.Size]byte, *onceResult[T]]
}

type onceResult[T any] struct {
	done  chan struct{}
	value T
}

// Do runs f for the first caller with this key and returns its result to all
// of them, or an error of ctx while it still runs.
func (o *Once[T]) Do(ctx context.Context, key string, now time.Time, f func() T) (T, error) {
	hash := sha256.Sum256([]byte(key))
	o.mu.Lock()
	result, ok := o.known.get(hash)
	if !ok {
		result = &onceResult[T]{done: make(chan struct{}), value: o.Aborted}
		o.known.expire(now, o.Age)
		o.known.add(hash, result, now, onceKept)
	}
	o.mu.Unlock()
	if !ok {
		defer close(result.done)
		result.value = f()
		return result.value, nil
	}
	select {
	case <-result.done:
		return result.value, nil
	case <-ctx.Done():
		var none T
		return none, ctx.Err() //nolint:wrapcheck // the client has gone
	}
}
