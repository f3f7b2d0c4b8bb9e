package session

import (
	"context"
	"sync"
)

// keyLock gives one caller at a time the turn for an id, without a mutex that is
// held while storage is asked.
type keyLock struct {
	mu    sync.Mutex
	taken map[ID]*keyHolder
}

type keyHolder struct {
	busy    chan struct{}
	waiting int
}

// lock waits for the turn until ctx ends.
func (t *keyLock) lock(ctx context.Context, id ID) (free func(), err error) {
	t.mu.Lock()
	if t.taken == nil {
		t.taken = make(map[ID]*keyHolder)
	}
	mine := t.taken[id]
	if mine == nil {
		mine = &keyHolder{busy: make(chan struct{}, 1)}
		t.taken[id] = mine
	}
	mine.waiting++
	t.mu.Unlock()

	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.waiting--; mine.waiting == 0 {
			delete(t.taken, id)
		}
	}
	select {
	case mine.busy <- struct{}{}:
		return func() { <-mine.busy; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
