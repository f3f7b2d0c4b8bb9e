// Locks: where the callers of one process wait before they ask storage for a lock.

package keyring

import (
	"context"
	"sync"
)

// Locks are mutexes by key that can be waited for with a context. Storage may poll
// its own locks once a second only, so callers in the same process queue here
// first. The zero value is ready.
type Locks[K comparable] struct {
	mu   sync.Mutex // never held while a caller waits
	held map[K]*keyLock
}

type keyLock struct {
	busy  chan struct{} // full while the lock is held
	users int           // its holder and those that wait; guarded by Locks.mu
}

// Lock waits for the lock of key, or returns the cause of ctx's end.
func (l *Locks[K]) Lock(ctx context.Context, key K) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[K]*keyLock)
	}
	lock := l.held[key]
	if lock == nil {
		lock = &keyLock{busy: make(chan struct{}, 1)}
		l.held[key] = lock
	}
	lock.users++
	l.mu.Unlock()

	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if lock.users--; lock.users == 0 {
			delete(l.held, key)
		}
	}
	select {
	case lock.busy <- struct{}{}:
		return func() { <-lock.busy; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
