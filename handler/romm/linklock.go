// Locks of single RomM accounts.

package romm

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// lockTimeout bounds the wait for an account that another request is changing.
const lockTimeout = 5 * time.Second

// keyedLocks are locks by key. The zero value is ready.
type keyedLocks struct {
	mu   sync.Mutex
	held map[string]*keyedLock
}

type keyedLock struct {
	turn chan struct{} // a semaphore of one
	refs int           // those that hold it or wait for it
}

// lock waits for key until ctx ends.
func (k *keyedLocks) lock(ctx context.Context, key string) (unlock func(), err error) {
	k.mu.Lock()
	if k.held == nil {
		k.held = make(map[string]*keyedLock)
	}
	l := k.held[key]
	if l == nil {
		l = &keyedLock{turn: make(chan struct{}, 1)}
		k.held[key] = l
	}
	l.refs++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.refs--; l.refs == 0 {
			delete(k.held, key)
		}
	}
	select {
	case l.turn <- struct{}{}:
		return func() { <-l.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// lock takes the lock of the account id on all nodes. Callers in this process
// first queue for it here, because storage polls its lock once a second only.
func (l *Links) lock(ctx context.Context, id int) (unlock func(), err error) {
	wait, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	path := l.accountPath(id)
	leave, err := l.locks.lock(wait, path)
	if err != nil {
		return nil, fmt.Errorf("waiting for the link of RomM account %d: %w", id, err)
	}
	storage := l.storage()
	if err := storage.Lock(wait, path); err != nil {
		leave()
		return nil, fmt.Errorf("locking the link of RomM account %d: %w", id, err)
	}
	return func() {
		_ = storage.Unlock(context.WithoutCancel(ctx), path)
		leave()
	}, nil
}

// latest runs one call at a time per account, and of those that wait for
// it only the last. The zero value is ready.
type latest struct {
	mu      sync.Mutex
	running map[int]*account // what comes next, by account; nil: nothing
}

// do runs f with user, or has the call that runs now do it again with user.
func (l *latest) do(user *account, f func(*account)) {
	l.mu.Lock()
	if l.running == nil {
		l.running = make(map[int]*account)
	}
	if _, ok := l.running[user.ID]; ok {
		l.running[user.ID] = user
		l.mu.Unlock()
		return
	}
	for id := user.ID; ; {
		l.running[id] = nil
		l.mu.Unlock()
		f(user)
		l.mu.Lock()
		if user = l.running[id]; user == nil {
			delete(l.running, id)
			l.mu.Unlock()
			return
		}
	}
}
