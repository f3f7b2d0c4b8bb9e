// The contract of a session store, run against every kind of storage: its harness.

package storage

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
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
			dir := caddyprocess.Folder(t)
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
