// Intents: what cannot be done twice is done only if its result can be kept.

package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func always(*Record) bool { return true }

// provider issues refresh tokens that can be used once. If an old one is used,
// it revokes all of the session's tokens, as Authelia does.
type provider struct {
	valid   string
	asked   int
	revoked bool
}

func newProvider(session *Session) *provider {
	return &provider{valid: session.Record().Tokens.Refresh}
}

// refresh refreshes as the gate does.
func (p *provider) refresh(ctx context.Context, s *Store, session *Session) error {
	seen := session.Record().Tokens.Refresh
	return s.UpdateOnce(ctx, session, func(r *Record) bool { return r.Tokens.Refresh == seen }, p.rotate)
}

func (p *provider) rotate(r *Record) {
	p.asked++
	if p.revoked = p.revoked || r.Tokens.Refresh != p.valid; p.revoked {
		r.UnprovenSince = time.Now().UTC()
		return
	}
	p.valid = fmt.Sprint("authelia_rt_", p.asked)
	r.Tokens.Refresh = p.valid
}

// Storage takes locks but cannot be written: a refresh would use up a token, and its
// successor would exist in the memory of one node only.
func TestNoRefreshIfItsResultCannotBeStored(t *testing.T) {
	storage := newFakeStorage()
	a, b := newTestStore(storage), newTestStore(storage)
	ticket, inA := create(t, a, "ada")
	inB := mustOpen(t, b, ticket)
	p := newProvider(inA)
	storage.before = func(operation, _ string) error {
		if operation == "store" {
			return errAway
		}
		return nil
	}
	for range 3 {
		if err := errors.Join(p.refresh(t.Context(), a, inA), p.refresh(t.Context(), b, inB)); !errors.Is(err, errAway) {
			t.Errorf("UpdateOnce = %v, want %v", err, errAway)
		}
	}
	if p.asked != 0 {
		t.Errorf("the provider was asked %d times, want never", p.asked)
	}
	storage.before = nil
	if err := errors.Join(p.refresh(t.Context(), b, inB), p.refresh(t.Context(), a, inA)); err != nil || p.asked != 1 || p.revoked {
		t.Errorf("after the outage: %v, the provider was asked %d times, tokens revoked %v, want nil, once, false", err, p.asked, p.revoked)
	}
	if inA.Record().Tokens.Refresh != p.valid || mustOpen(t, newTestStore(storage), ticket).Record().Tokens.Refresh != p.valid {
		t.Error("a node has another refresh token than the provider, want the new one")
	}
}

// Storage fails after any number of writes: the tokens never end, whichever
// node refreshes next.
func TestRefreshOnAStorageThatFailsMidway(t *testing.T) {
	for n := range 4 {
		t.Run(fmt.Sprint(n, " writes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := newFakeStorage()
				a, b := newTestStore(storage), newTestStore(storage)
				ticket, inA := create(t, a, "ada")
				inB := mustOpen(t, b, ticket)
				p := newProvider(inA)
				left := n
				storage.before = func(operation, _ string) error {
					if operation != "store" {
						return nil
					}
					if left--; left < 0 {
						return errAway
					}
					return nil
				}
				for range 3 {
					_ = p.refresh(t.Context(), a, inA)
					_ = p.refresh(t.Context(), b, inB)
				}
				storage.before = nil
				if err := poll(t.Context(), a); err != nil { // writes what is only in memory
					t.Error(err)
				}
				_ = p.refresh(t.Context(), b, inB)
				if p.revoked || inB.Record().Tokens.Refresh != p.valid || mustOpen(t, newTestStore(storage), ticket).Record().Tokens.Refresh != p.valid {
					t.Errorf("tokens revoked %v, node b has %q, the provider %q, want the same token everywhere", p.revoked, inB.Record().Tokens.Refresh, p.valid)
				}
			})
		})
	}
}

// A node crashes between its intent and the result. The others leave the
// session alone for a minute, then try: the crash may have been before the
// request.
func TestRefreshAfterACrash(t *testing.T) {
	for name, row := range map[string]struct {
		spent bool          // the provider got the request
		clock time.Duration // by which the crashed node's clock was ahead
	}{
		"before the request":                      {},
		"after the request":                       {spent: true},
		"of a node whose clock is minutes ahead":  {clock: 5 * time.Minute},
		"of a node whose clock is minutes behind": {clock: -5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := newFakeStorage()
				crashing := newTestStore(storage, func(o *Options) {
					o.Now = func() time.Time { return time.Now().Add(row.clock) }
				})
				ticket, doomed := create(t, crashing, "ada")
				p := newProvider(doomed)
				func() {
					defer func() { _ = recover() }() // the node ends here
					_ = crashing.UpdateOnce(t.Context(), doomed, always, func(r *Record) {
						if row.spent {
							p.rotate(r)
						}
						panic("crash")
					})
				}()
				asked := p.asked
				b := newTestStore(storage)
				inB := mustOpen(t, b, ticket)
				for range 5 {
					if err := p.refresh(t.Context(), b, inB); !errors.Is(err, errBeingChanged) || p.asked != asked {
						t.Fatalf("right after the crash: %v, the provider was asked %d times, want an error and no request", err, p.asked-asked)
					}
					time.Sleep(10 * time.Second)
				}
				time.Sleep(15 * time.Second)
				err := p.refresh(t.Context(), b, inB)
				if err != nil || p.asked != asked+1 {
					t.Errorf("a minute after the crash: %v, the provider was asked %d times, want nil, once", err, p.asked-asked)
				}
				if got := !inB.Record().UnprovenSince.IsZero(); got != row.spent {
					t.Errorf("the session is unproven: %v, want %v", got, row.spent)
				}
			})
		})
	}
}

// An intent from long ago, or from a clock that was set back by days since, is
// of a crash.
func TestOldIntentStopsNoRefresh(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, 15 * 24 * time.Hour} {
		storage := newFakeStorage()
		s := newTestStore(storage)
		_, session := create(t, s, "ada")
		session.record.Load().Intent = &intent{Process: "another", Began: time.Now().Add(ahead)}
		p := newProvider(session)
		if err := p.refresh(t.Context(), s, session); err != nil || p.asked != 1 {
			t.Errorf("intent of %s from now: %v, the provider was asked %d times, want nil, once", ahead, err, p.asked)
		}
	}
}

// A lock that expired at the storage lets a second node in while the first one
// waits for the provider. Another change of the record does not hide that.
func TestIntentGuardsWhereTheLockIsLost(t *testing.T) {
	storage := newFakeStorage()
	a, b := newTestStore(storage), newTestStore(storage)
	ticket, inA := create(t, a, "ada")
	inB := mustOpen(t, b, ticket)
	p := newProvider(inA)
	err := a.UpdateOnce(t.Context(), inA, always, func(r *Record) {
		_ = storage.Unlock(t.Context(), storageKey(folderRecords, inA.ID()))
		if err := b.Update(t.Context(), inB, func(r *Record) { r.Upstream.Role = "user" }); err != nil {
			t.Error(err)
		}
		if err := p.refresh(t.Context(), b, inB); !errors.Is(err, errBeingChanged) || p.asked != 0 {
			t.Errorf("a second refresh: %v, the provider was asked %d times, want an error and no request", err, p.asked)
		}
		_ = storage.Lock(t.Context(), storageKey(folderRecords, inA.ID()))
		p.rotate(r)
	})
	if err != nil || p.revoked {
		t.Errorf("the first refresh: %v, tokens revoked %v, want nil, false", err, p.revoked)
	}
}

// The provider fails: the same node tries again when it likes.
func TestFailedRefreshIsTriedAgain(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	_, session := create(t, s, "ada")
	p := newProvider(session)
	if err := s.UpdateOnce(t.Context(), session, always, func(*Record) {}); err != nil {
		t.Fatal(err)
	}
	stores := storage.count("store")
	if err := p.refresh(t.Context(), s, session); err != nil || p.asked != 1 {
		t.Errorf("the second try: %v, the provider was asked %d times, want nil, once", err, p.asked)
	}
	if n := storage.count("store") - stores; n != 2 {
		t.Errorf("a refresh caused %d writes, want 2: the intent and the result", n)
	}
	if err := s.UpdateOnce(t.Context(), session, func(*Record) bool { return false }, p.rotate); err != nil || p.asked != 1 || storage.count("store")-stores != 2 {
		t.Errorf("a change that is not due: %v, asked %d times, %d writes, want none", err, p.asked-1, storage.count("store")-stores-2)
	}
}

// A session that ends while its intent is written leaves nothing in storage.
func TestIntentOfAnEndedSessionIsRemoved(t *testing.T) {
	for name, during := range map[string]string{"its intent is written": "store", "the provider answers": ""} {
		t.Run(name, func(t *testing.T) {
			storage := newFakeStorage()
			a, b := newTestStore(storage), newTestStore(storage)
			ticket, inA := create(t, a, "ada")
			mustOpen(t, b, ticket)
			end := func() {
				if err := b.End(t.Context(), inA.ID(), "sign_out"); err != nil {
					t.Error(err)
				}
			}
			armed := during != ""
			storage.before = func(operation, key string) error {
				if armed && operation == during && strings.Contains(key, "/"+folderRecords+"/") {
					armed = false
					end()
				}
				return nil
			}
			err := a.UpdateOnce(t.Context(), inA, always, func(*Record) {
				if during == "" {
					end()
				}
			})
			if !errors.Is(err, ErrEnded) || len(storage.under(folderRecords)) != 0 {
				t.Errorf("UpdateOnce = %v, records left %v, want ErrEnded and none", err, storage.under(folderRecords))
			}
		})
	}
}
