// Run-once: one run per key, one result for every caller.

package limit

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// onceKept bounds how many keys are remembered.
const onceKept = 10_000

// Once runs a function once per key and gives its result to every caller,
// including those that come within Age afterwards. If the function panics, the
// result is Aborted.
//
// The gate uses it for the callback, with the state as the key: a double click
// must not redeem one code twice, because the provider would revoke the tokens
// that it issued for it ([RFC 6749 section 4.1.2]).
//
// [RFC 6749 section 4.1.2]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2
type Once[T any] struct {
	Aborted T
	Age     time.Duration // how long a result is remembered

	mu    sync.Mutex
	known bounded[[sha256.Size]byte, *onceResult[T]]
}

type onceResult[T any] struct {
	done  chan struct{}
	value T
}

// Do runs f for the first caller with this key and returns its result to all
// of them, or ctx's error to a caller that stops waiting.
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
		return none, ctx.Err() // the client went away
	}
}
