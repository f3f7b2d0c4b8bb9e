// Doubts: what the gate knows about the application's sessions may be wrong.

package handler

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// doubt voids all confirmations on this node: the application failed, or its
// accounts changed.
func (g *Gate) doubt() { g.doubts.Add(1) }

// doubtAccounts voids all confirmations on this node, and makes it ask again about
// each credential: an account changed, here or on another node.
func (g *Gate) doubtAccounts() {
	g.doubt()
	if last := g.last.Load(); last != nil {
		g.recognized.askAgain(last.handler.now())
	}
}

// AccountsChanged is doubtAccounts on all nodes.
func (g *Gate) AccountsChanged(ctx context.Context) {
	g.doubtAccounts()
	g.Sessions.Doubt(ctx)
}

// accountsShut makes all nodes ask again about each credential: an account was shut.
func (g *Gate) accountsShut(ctx context.Context) {
	g.doubtCredentials()
	g.Sessions.Doubt(ctx)
}

// accountsKept bounds how many accounts are remembered.
const accountsKept = 10_000

// accounts remembers which account of the application which user was seen
// with. One that was not seen before may have just been made, with a name that
// sessions of another account were made under. The zero value is ready.
type accounts struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]struct{} // by hash: strings of a record would keep all of it, tokens included
}

// add returns false if the account was known.
func (a *accounts) add(identity *flow.Identity, account string) bool {
	key := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", identity.Issuer, identity.Subject, account))
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.known[key]; known {
		return false
	}
	if a.known == nil || len(a.known) >= accountsKept { // a forgotten account costs one doubt
		a.known = make(map[[sha256.Size]byte]struct{})
	}
	a.known[key] = struct{}{}
	return true
}

// know notes the account of a session that was just confirmed.
func (a *accounts) know(record *session.Record) { a.add(&record.Identity, record.Upstream.Account) }

// signedInAs notes the account that a sign-in ended in, of which asked was the
// beginning. What the sign-in itself changed does not void its own confirmation.
func (g *Gate) signedInAs(ctx context.Context, asked *confirmation, identity *flow.Identity, account string) {
	if !g.accounts.add(identity, account) {
		return
	}
	if g.doubts.CompareAndSwap(asked.doubts, asked.doubts+1) {
		asked.doubts++
	} else {
		g.doubt()
	}
	if last := g.last.Load(); last != nil {
		g.recognized.askAgain(last.handler.now())
	}
	g.Sessions.Doubt(ctx)
}
