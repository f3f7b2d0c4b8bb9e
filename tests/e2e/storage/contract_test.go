// The parts of the contract.

package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

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
