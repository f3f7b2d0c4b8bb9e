// A mutex per session ID that can be waited for with a context.

package session

import (
	"context"
	"sync"
)

// keyLock lets one caller per ID proceed at a time. Its own mutex is never held
// during a call to storage.
type keyLock struct {
	mu    sync.Mutex
	locks map[ID]*idLock // those that are held or waited for
}

type idLock struct {
	busy  chan struct{} // full while the lock is held
	users int           // its holder and those that wait; guarded by keyLock.mu
}

// lock waits for the lock of id, or returns the cause of ctx's end.
func (l *keyLock) lock(ctx context.Context, id ID) (unlock func(), err error) {
	l.mu.Lock()
	if l.locks == nil {
		l.locks = make(map[ID]*idLock)
	}
	lock := l.locks[id]
	if lock == nil {
		lock = &idLock{busy: make(chan struct{}, 1)}
		l.locks[id] = lock
	}
	lock.users++
	l.mu.Unlock()

	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if lock.users--; lock.users == 0 {
			delete(l.locks, id)
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
