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

// lock takes the lock of the account id on all nodes. Callers in this process
// first queue for it here, because storage polls its lock once a second only.
func (l *Links) lock(ctx context.Context, id int) (unlock func(), err error) {
	wait, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	path := l.accountPath(id)
	leave, err := l.locks.Lock(wait, path)
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

// latest runs one call at a time per account, and of the calls that wait for it
// only the last. The zero value is ready.
type latest struct {
	mu      sync.Mutex
	running map[int]*account // an entry for each call that runs: the account of the next one, nil if there is none
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
