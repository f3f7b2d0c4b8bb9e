// The contract of a session store, run against every kind of storage.

package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

const gate = "0123456789abcdef"

// cluster creates nodes that share a storage. Each node has its own
// connection.
type cluster struct {
	*testing.T
	connect func() keyring.Storage
	ahead   atomic.Int64 // nanoseconds by which the nodes' clocks are ahead
}

// node returns a store of the cluster; its workers run if work is set.
func (c *cluster) node(name string, work bool) *session.Store {
	c.Helper()
	s := session.New(session.Options{Gate: gate, Node: name, Now: func() time.Time {
		return time.Now().Add(time.Duration(c.ahead.Load()))
	}})
	s.Configure(c.connect(), session.Limits{Idle: session.DefaultIdle, Lifetime: session.DefaultLifetime})
	if work {
		go s.Run(context.Background())
		c.Cleanup(s.Close)
	}
	return s
}

func record(name string) session.Record {
	return session.Record{
		Identity: flow.Identity{Issuer: "https://auth.example.com", Subject: "sub-" + name, Username: name},
		Tokens:   flow.Tokens{Access: "at-" + name, Refresh: "0", SID: "sid-" + name},
	}
}

func (c *cluster) create(s *session.Store, name string) (string, *session.Session) {
	c.Helper()
	ticket, made, err := s.Create(c.Context(), record(name))
	if err != nil {
		c.Fatal(err)
	}
	return ticket, made
}

// opens reports whether a ticket opens a session at a node.
func (c *cluster) opens(s *session.Store, ticket string) bool {
	c.Helper()
	found, err := s.Lookup(c.Context(), ticket)
	if err != nil {
		c.Fatal(err)
	}
	return found != nil
}

// within waits until ok returns true, for at most 5 s.
func (c *cluster) within(what string, ok func() bool) {
	c.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.Errorf("not within 5 s: %s", what)
			return
		}
	}
}

// contract is what every kind of storage must do.
var contract = map[string]func(*cluster){
	"a session made on one node works on another":           sharedSession,
	"an ended session ends on the other nodes within 5 s":   sharedEnd,
	"updates by two nodes are serialized":                   updates,
	"ending a user's sessions covers those only in storage": endOfUser,
	"only expired sessions are removed":                     sweep,
	"nodes that start at once agree on one keyring":         oneKeyring,
	"nodes that rotate at once make one secret":             oneRotation,
	"a crash loses nothing":                                 crash,
	"a cancelled update stops waiting for the lock":         givenUp,
	"a list shows who is signed in, the latest first":       list,
	"an update of an ended session is refused":              updateAfterEnd,
}

func TestContract(t *testing.T) {
	for backend, connect := range map[string]func(*testing.T) func() keyring.Storage{
		"files": func(t *testing.T) func() keyring.Storage {
			t.Helper()
			dir := t.TempDir()
			return func() keyring.Storage { return &certmagic.FileStorage{Path: dir} }
		},
		"Redis": func(t *testing.T) func() keyring.Storage {
			t.Helper()
			return startRedis(t).connect
		},
	} {
		t.Run(backend, func(t *testing.T) {
			for name, test := range contract {
				t.Run(name, func(t *testing.T) { test(&cluster{T: t, connect: connect(t)}) })
			}
		})
	}
}

func sharedSession(c *cluster) {
	a, b := c.node("a", false), c.node("b", false)
	ticket, made := c.create(a, "ada")
	found, err := b.Lookup(c.Context(), ticket)
	if err != nil || found == nil || found.ID() != made.ID() || found.Record().Tokens.Access != "at-ada" {
		c.Errorf("node b found %v, want ada's session of node a; error: %v", found, err)
	}
}

func sharedEnd(c *cluster) {
	a, b := c.node("a", true), c.node("b", true)
	ticket, made := c.create(a, "ada")
	if !c.opens(b, ticket) {
		c.Fatal("node b does not know the session of node a")
	}
	if err := a.End(c.Context(), made.ID(), "sign_out"); err != nil {
		c.Fatal(err)
	}
	c.within("the end at the other node", func() bool { return !c.opens(b, ticket) })
	if c.opens(c.node("c", false), ticket) {
		c.Error("a new node opens the ended session")
	}
}

func updates(c *cluster) {
	const each = 5
	nodes := []*session.Store{c.node("a", false), c.node("b", false)}
	ticket, _ := c.create(nodes[0], "ada")
	var wg sync.WaitGroup
	for _, s := range nodes {
		wg.Go(func() {
			found, err := s.Lookup(c.Context(), ticket)
			if err != nil || found == nil {
				c.Errorf("a node found %v, want ada's session; error: %v", found, err)
				return
			}
			for range each {
				if err := s.Update(c.Context(), found, func(r *session.Record) {
					var n int
					_, _ = fmt.Sscan(r.Tokens.Refresh, &n)
					r.Tokens.Refresh = fmt.Sprint(n + 1)
				}); err != nil {
					c.Error(err)
				}
			}
		})
	}
	wg.Wait()
	found, err := c.node("c", false).Lookup(c.Context(), ticket)
	if err != nil || found == nil || found.Record().Tokens.Refresh != fmt.Sprint(2*each) {
		c.Errorf("after %d updates a new node found %v, want all of them; error: %v", 2*each, found, err)
	}
}

func endOfUser(c *cluster) {
	a, b := c.node("a", false), c.node("b", false)
	first, _ := c.create(a, "ada")
	second, _ := c.create(a, "ada")
	other, _ := c.create(a, "bob")
	n, err := b.EndUser(c.Context(), session.UserKey("https://auth.example.com", "sub-ada"), "revoked")
	if n != 2 || err != nil {
		c.Errorf("%d sessions ended, want ada's 2; error: %v", n, err)
	}
	fresh := c.node("c", false)
	if c.opens(fresh, first) || c.opens(fresh, second) || !c.opens(fresh, other) {
		c.Error("want ada's sessions ended and bob's alive")
	}
}

func sweep(c *cluster) {
	a, b := c.node("a", false), c.node("b", false)
	for i := range 20 {
		c.create(a, fmt.Sprint("user", i))
	}
	c.ahead.Store(int64(session.DefaultLifetime - time.Hour))
	late, _ := c.create(a, "late")
	c.ahead.Store(int64(session.DefaultLifetime + 3*time.Hour))
	for _, s := range []*session.Store{b, a} { // the second finds that the first has just swept
		if err := s.Sweep(c.Context()); err != nil {
			c.Fatal(err)
		}
	}
	for folder, want := range map[string]int{"heads": 1, "records": 1} {
		keys, err := c.connect().List(c.Context(), keyring.StoragePrefix(gate)+"/sessions/"+folder, false)
		if err != nil || len(keys) != want {
			c.Errorf("%d %s are left, want %d; error: %v", len(keys), folder, want, err)
		}
	}
	if !c.opens(c.node("c", false), late) {
		c.Error("a session that has not expired was removed")
	}
}

func oneKeyring(c *cluster) {
	nodes := make([]*session.Store, 8)
	tickets := make([]string, len(nodes))
	var wg sync.WaitGroup
	for i := range nodes {
		nodes[i] = c.node("", false)
		wg.Go(func() { tickets[i], _ = c.create(nodes[i], "ada") })
	}
	wg.Wait()
	for _, s := range nodes {
		for _, ticket := range tickets {
			if !c.opens(s, ticket) {
				c.Fatal("a node does not open another node's ticket, want one keyring for all")
			}
		}
	}
}

func oneRotation(c *cluster) {
	nodes := []*session.Store{c.node("a", false), c.node("b", false), c.node("c", false)}
	old, _ := c.create(nodes[0], "ada")
	var wg sync.WaitGroup
	for _, s := range nodes {
		wg.Go(func() {
			if err := s.Rotate(c.Context()); err != nil {
				c.Error(err)
			}
		})
	}
	wg.Wait()
	c.ahead.Store(int64(keyring.Lead + time.Minute))
	late, _ := c.create(c.node("d", false), "bob") // with the new secret
	for _, s := range nodes {
		if err := s.Rotate(c.Context()); err != nil { // reads the keyring again
			c.Fatal(err)
		}
		if !c.opens(s, old) || !c.opens(s, late) {
			c.Error("a node does not open a session from before or after the rotation")
		}
	}
}

func crash(c *cluster) {
	ticket, _ := c.create(c.node("a", false), "ada") // then node a crashes
	if !c.opens(c.node("a", false), ticket) {
		c.Error("the session is lost after the crash of its node")
	}
}

func givenUp(c *cluster) {
	a, b := c.node("a", false), c.node("b", false)
	ticket, made := c.create(a, "ada")
	there, err := b.Lookup(c.Context(), ticket)
	if err != nil || there == nil {
		c.Fatal(err)
	}
	locked, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = a.Update(context.Background(), made, func(*session.Record) {
			close(locked)
			time.Sleep(2 * time.Second)
		})
	}()
	<-locked
	ctx, cancel := context.WithTimeout(c.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	err = b.Update(ctx, there, func(*session.Record) { c.Error("both hold the lock") })
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 1500*time.Millisecond {
		c.Errorf("the update gave up with %v after %s, want the deadline after 200 ms", err, time.Since(began))
	}
	<-done
}

func list(c *cluster) {
	a, b := c.node("a", false), c.node("b", false)
	if entries, err := b.List(c.Context()); len(entries) != 0 || err != nil {
		c.Errorf("node b lists %v before the first sign-in, want no session; error: %v", entries, err)
	}
	c.create(a, "ada")
	c.ahead.Store(int64(time.Minute))
	c.create(a, "bob")
	entries, err := b.List(c.Context())
	if err != nil || len(entries) != 2 || entries[0].User != "bob" || entries[1].Node != "a" {
		c.Errorf("node b lists %v, want bob's and ada's sessions of node a; error: %v", entries, err)
	}
}

func updateAfterEnd(c *cluster) {
	a, b := c.node("a", false), c.node("b", false)
	ticket, made := c.create(a, "ada")
	there, err := b.Lookup(c.Context(), ticket)
	if err != nil || there == nil {
		c.Fatal(err)
	}
	if err := a.End(c.Context(), made.ID(), "sign_out"); err != nil {
		c.Fatal(err)
	}
	if err := b.Update(c.Context(), there, func(r *session.Record) { r.Tokens.Refresh = "1" }); !errors.Is(err, session.ErrEnded) {
		c.Errorf("updating an ended session: error %v, want session.ErrEnded", err)
	}
	if c.opens(c.node("c", false), ticket) {
		c.Error("a new node opens the ended session")
	}
}
