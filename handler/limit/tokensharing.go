// Failed token requests of all Caddies of a gate: the provider counts them together.

package limit

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync/atomic"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	// shareEvery is how often a node that makes token requests reads what other
	// nodes wrote. It writes its own failures at once.
	shareEvery   = 10 * time.Second
	shareTimeout = 5 * time.Second
	// shareAhead is how many requests a node may have under way or failed before it
	// has told the others. In the worst case, one node uses up the 18 of a minute
	// before it has read anything of two others, and with 6 of each of those the
	// provider counts 30.
	shareAhead = 6
)

// Share is where the nodes of a gate tell each other their failures: one small
// document for each node, which only that node writes.
type Share struct {
	Gate    string                 // the gate's ID
	Storage func() keyring.Storage // the current one
}

// nodeFailures is the document of a node. Clocks differ, so only the
// differences between its times are used.
type nodeFailures struct {
	Written int64   `json:"written"` // Unix milliseconds
	Failed  []int64 `json:"failed"`  // of the last hour
}

// knownNode is another node's document, and when this node noticed it.
type knownNode struct {
	nodeFailures
	noticed time.Time
}

// sharing is what a budget knows of the other nodes. The budget's lock guards it.
type sharing struct {
	nodes   map[string]knownNode
	untold  int         // failures that the other nodes may not know
	written bool        // this node has a document
	busy    atomic.Bool // a call to the storage is under way

	ctx        context.Context //nolint:containedctx // from Join; nil: it was not called
	share      Share
	node       string    // the name of this node's document
	exchanging bool      // in a goroutine
	exchanged  time.Time // the last time
	forget     *time.Timer
}

// fits reports whether this node may have one more request under way. Until it
// has told its failures, it takes no more than its share of the room: the other
// nodes may use theirs at the same time.
func (s *sharing) fits(underWay, room int) bool {
	return s.ctx == nil || underWay+s.untold < min(shareAhead, max(1, room/(1+len(s.nodes))))
}

// note notes a failure of this node.
func (s *sharing) note() {
	if s.ctx != nil {
		s.untold++
	}
}

// with returns own and the failures of the other nodes in the last hour, the
// oldest first.
func (s *sharing) with(own []time.Time, now time.Time) []time.Time {
	if len(s.nodes) == 0 {
		return own
	}
	for _, node := range s.nodes {
		for _, at := range node.Failed {
			failed := node.noticed.Add(-time.Duration(max(0, node.Written-at)) * time.Millisecond)
			if now.Sub(failed) < time.Hour {
				own = append(own, failed)
			}
		}
	}
	slices.SortFunc(own, time.Time.Compare)
	return own
}

// Join makes the budget tell the other nodes the failures of this one, and read
// theirs, until ctx ends. While the storage is away, each node counts alone. It
// takes no goroutine and no call to the storage while no token request is made.
func (b *TokenBudget) Join(ctx context.Context, share Share) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sharing.ctx, b.sharing.share, b.sharing.node = ctx, share, rand.Text() //nolint:fatcontext // it is not nested: Join is called once
}

// shareSoon begins an exchange if one is due. No token request waits for it: until
// the node has told its failures, it takes as little as one that has just started.
// The caller holds b.mu.
func (b *TokenBudget) shareSoon() {
	s := &b.sharing
	if s.ctx == nil || s.ctx.Err() != nil || s.exchanging || s.untold == 0 && time.Since(s.exchanged) < shareEvery {
		return
	}
	s.exchanging = true
	go func() {
		for more := true; more; {
			b.exchange(s.ctx, s.share, s.node)
			b.mu.Lock()
			more = s.untold > 0 && s.ctx.Err() == nil
			s.exchanging, s.exchanged = more, time.Now()
			b.forgetLater()
			b.mu.Unlock()
		}
	}()
}

// forgetLater exchanges once more an hour after the last failure, and again until the
// storage has removed the document of this node. The caller holds b.mu.
func (b *TokenBudget) forgetLater() {
	s, n := &b.sharing, len(b.failed)
	switch {
	case !s.written || n == 0:
		return
	case s.forget == nil:
		s.forget = time.AfterFunc(time.Hour, b.shareAgain)
	}
	s.forget.Reset(max(shareEvery, time.Hour-time.Since(b.failed[n-1].at)))
}

// shareAgain exchanges although no token request was made.
func (b *TokenBudget) shareAgain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sharing.exchanged = time.Time{}
	b.shareSoon()
}

// exchange writes the document of this node if it has new failures, removes it
// if the last failure is an hour ago, and reads those of the others. It waits for
// shareTimeout at most: sign-ins do not wait for a storage that fails or hangs.
func (b *TokenBudget) exchange(ctx context.Context, share Share, node string) {
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	b.mu.Lock()
	told := b.sharing.untold
	b.mu.Unlock()
	if b.sharing.busy.CompareAndSwap(false, true) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer b.sharing.busy.Store(false)
			defer func() { _ = recover() }() // a storage module panicked: the next exchange tries again
			b.visit(ctx, share, node)
		}()
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sharing.untold -= told
	b.wake()
}

// visit is the part of exchange that calls the storage.
func (b *TokenBudget) visit(ctx context.Context, share Share, node string) {
	b.mu.Lock()
	untold, known, written := b.sharing.untold > 0, b.sharing.nodes, b.sharing.written
	own := nodeFailures{Written: time.Now().UnixMilli()}
	for _, f := range b.failed {
		if age := time.Since(f.at); age < time.Hour {
			own.Failed = append(own.Failed, own.Written-age.Milliseconds())
		}
	}
	b.mu.Unlock()

	folder := path.Join(keyring.StoragePrefix(share.Gate), "token_failures")
	var err error
	switch storage := share.Storage(); {
	case storage == nil: // no configuration is in force
	case untold:
		document, _ := json.Marshal(own) // numbers always encode
		err = storage.Store(ctx, path.Join(folder, node), document)
		written = err == nil
	case written && len(own.Failed) == 0:
		err = storage.Delete(ctx, path.Join(folder, node))
		written = err != nil
	}
	nodes := known
	if others, failed := share.read(ctx, folder, node, known); failed == nil {
		nodes = others
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sharing.nodes, b.sharing.written = nodes, written
}

// read returns the documents of the other nodes, and removes those of nodes
// that are gone.
func (s Share) read(ctx context.Context, folder, own string, known map[string]knownNode) (map[string]knownNode, error) {
	storage := s.Storage()
	if storage == nil {
		return known, nil
	}
	keys, err := storage.List(ctx, folder, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the nodes' failures: %w", err)
	}
	nodes := make(map[string]knownNode, len(keys))
	now := time.Now()
	for _, key := range keys {
		name := path.Base(key)
		var node knownNode
		value, err := storage.Load(ctx, key)
		if name == own || err != nil || json.Unmarshal(value, &node.nodeFailures) != nil {
			continue // this node's own, removed after the listing, or unreadable
		}
		age := now.Sub(time.UnixMilli(node.Written)) // by two clocks, so it serves for the first reading only
		if age > 2*time.Hour {
			_ = storage.Delete(ctx, key) // best effort, another node tries too
			continue
		}
		switch before, ok := known[name]; {
		case !ok:
			node.noticed = now.Add(-max(0, age))
		case before.Written == node.Written && len(before.Failed) == len(node.Failed):
			node.noticed = before.noticed
		default:
			node.noticed = now
		}
		nodes[name] = node
	}
	return nodes, nil
}
