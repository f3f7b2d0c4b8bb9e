// Two nodes and a Redis that fails in every way: what users notice, and that
// nothing is lost.

package storage

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// fault is a way in which a Redis fails, and how that ends.
type fault struct {
	begin, end func(*redisServer)
	reads      bool // values can still be read
}

var faults = map[string]fault{
	"killed": {begin: (*redisServer).kill, end: (*redisServer).start},
	"paused": {
		begin: func(r *redisServer) { r.signal(syscall.SIGSTOP) },
		end:   func(r *redisServer) { r.signal(syscall.SIGCONT) },
	},
	"a replica": {
		begin: func(r *redisServer) {
			r.configure("config", "set", "replica-serve-stale-data", "yes")
			r.configure("replicaof", "127.0.0.1", "1")
		},
		end:   func(r *redisServer) { r.configure("replicaof", "no", "one") },
		reads: true,
	},
	"without its replicas": {
		begin: func(r *redisServer) { r.configure("config", "set", "min-replicas-to-write", "1") },
		end:   func(r *redisServer) { r.configure("config", "set", "min-replicas-to-write", "0") },
		reads: true,
	},
	"out of memory": {
		begin: func(r *redisServer) { r.configure("config", "set", "maxmemory", "1") },
		end:   func(r *redisServer) { r.configure("config", "set", "maxmemory", "0") },
		reads: true,
	},
}

// provider takes each refresh token once. A second use revokes all tokens.
type provider struct {
	mu      sync.Mutex
	valid   string
	asked   int
	revoked bool
}

func (p *provider) rotate(r *session.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	p.revoked = p.revoked || r.Tokens.Refresh != p.valid
	p.valid = fmt.Sprint(p.asked)
	r.Tokens.Refresh = p.valid
}

// counts returns how often the provider was asked, and whether it saw a token twice.
func (p *provider) counts() (asked int, revoked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked, p.revoked
}

func always(*session.Record) bool { return true }

// While Redis fails, users with a session in memory continue, new sign-ins fail in
// bounded time, no token is refreshed twice, and the node knows what is wrong.
// When Redis is back, every session is there, and sessions that were ended
// during the failure end at both nodes.
func TestRedisFails(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startRedis(t)
			c := &cluster{T: t, connect: server.connect}
			a, b := c.node("a", true), c.node("b", true)
			ticket, inA := c.create(a, "ada")
			ending, doomed := c.create(a, "bob")
			unread, _ := c.create(a, "eve")
			inB, err := b.Lookup(t.Context(), ticket)
			if err != nil || !c.opens(b, ending) {
				t.Fatal("node b does not know the sessions of node a", err)
			}
			p := &provider{valid: "0"}

			// Both nodes refresh all the time, from before the fault until after it.
			ctx, stop := context.WithCancel(t.Context())
			var refreshing sync.WaitGroup
			for s, in := range map[*session.Store]*session.Session{a: inA, b: inB} {
				refreshing.Go(func() {
					for ctx.Err() == nil {
						seen := in.Record().Tokens.Refresh
						limited, cancel := context.WithTimeout(ctx, 20*time.Second)
						_ = s.UpdateOnce(limited, in, func(r *session.Record) bool { return r.Tokens.Refresh == seen }, p.rotate)
						cancel()
						time.Sleep(100 * time.Millisecond)
					}
				})
			}
			c.within("a refresh before the fault", func() bool { asked, _ := p.counts(); return asked > 0 })
			fault.begin(server)
			began := time.Now()
			if _, _, err := a.Create(t.Context(), record("late")); err == nil {
				t.Error("a sign-in succeeded, want an error")
			}
			if took := time.Since(began); took > 25*time.Second {
				t.Errorf("the sign-in took %s to fail, want at most 25 s", took)
			}
			if err := a.End(t.Context(), doomed.ID(), "sign_out"); err == nil {
				t.Error("the end was stored, want an error")
			}
			c.within("node a noticed it", a.Away)
			for range 20 {
				if c.opens(a, ending) || !c.opens(a, ticket) || !c.opens(b, ticket) {
					t.Fatal("a session in memory ended, or an ended one opens")
				}
				time.Sleep(50 * time.Millisecond)
			}
			if fault.reads && !c.opens(b, unread) {
				t.Error("node b does not read a session that it has not had in memory")
			}
			fault.end(server)
			began = time.Now()
			for deadline := time.Now().Add(30 * time.Second); a.Away() || b.Away() || c.opens(b, ending); time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("30 s after the fault: node a away %v, node b away %v, the ended session open at node b %v", a.Away(), b.Away(), c.opens(b, ending))
				}
			}
			t.Logf("all was well %s after the fault ended", time.Since(began).Round(time.Millisecond))
			before, _ := p.counts()
			c.within("a refresh after the fault", func() bool { asked, _ := p.counts(); return asked > before })
			stop()
			refreshing.Wait()
			asked, revoked := p.counts()
			if revoked {
				t.Error("a refresh token was used twice, and the provider revoked all tokens")
			}
			t.Logf("%d refreshes, %d of them after the fault", asked, asked-before)
			fresh := c.node("c", false)
			found, err := fresh.Lookup(t.Context(), ticket)
			if err != nil || found == nil {
				t.Fatalf("a new node found %v, %v, want the session", found, err)
			}
			if found.Record().Tokens.Refresh != p.valid {
				t.Errorf("storage has the refresh token %s, the provider %s", found.Record().Tokens.Refresh, p.valid)
			}
			if !c.opens(fresh, unread) || c.opens(fresh, ending) {
				t.Error("a session is lost, or an ended one opens at a new node")
			}
			if _, _, err := a.Create(t.Context(), record("late")); err != nil {
				t.Errorf("a sign-in after the fault: %v", err)
			}
		})
	}
}

// Redis is paused while node a waits for the provider, so its lock expires. Node
// b gets the lock, finds the intent, and sends no second refresh.
func TestRedisPausedDuringARefresh(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	c := &cluster{T: t, connect: server.connect}
	a, b := c.node("a", false), c.node("b", false)
	ticket, inA := c.create(a, "ada")
	inB, err := b.Lookup(t.Context(), ticket)
	if err != nil || inB == nil {
		t.Fatal("node b does not know the session of node a", err)
	}
	p := &provider{valid: "0"}
	if err := a.UpdateOnce(t.Context(), inA, always, func(r *session.Record) {
		server.signal(syscall.SIGSTOP)
		time.Sleep(7 * time.Second) // a lock of the plugin lives for 5
		server.signal(syscall.SIGCONT)
		server.configure("del", "caddy/locks/romm_oidc/"+gate+"/sessions/records/"+inA.ID().String())
		if err := b.UpdateOnce(t.Context(), inB, always, p.rotate); err == nil || p.asked != 0 {
			t.Errorf("the second refresh: %v, the provider was asked %d times, want an error and no request", err, p.asked)
		}
		p.rotate(r)
	}); err != nil {
		t.Error(err)
	}
	if p.revoked || inA.Record().Tokens.Refresh != p.valid {
		t.Errorf("tokens revoked: %v; node a has %s, the provider %s", p.revoked, inA.Record().Tokens.Refresh, p.valid)
	}
}
