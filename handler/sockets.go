// Sockets of users whose role in the application changed, or whose account is gone.

package handler

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

const (
	// pollsRefusedFor is for how long no poll continues a socket after closeSockets:
	// engine.io forgets one that nothing polls after 85 s.
	pollsRefusedFor = 90 * time.Second
	// socketsDoubtedFor is for how long sockets stay open that the application was
	// asked about in vain.
	socketsDoubtedFor = 30 * time.Second
)

// closeSockets closes the sockets of s: the application looks at the role of their
// user only when they open. Its page opens them again.
func (h *Handler) closeSockets(s *session.Session) {
	runtimeOf(s).socketsClosed.Store(monotonic.Nanoseconds(h.now()))
	s.AbortHolders(isSocket)
}

// noteRole notes the application's own role of the user of s, and closes the sockets of
// another one. A session that this node did not sign in may have been polled before, on
// another node or before a restart, in a role that this node does not know.
func (h *Handler) noteRole(s *session.Session, role string) {
	v, hash := runtimeOf(s), hashOf(role)|1
	if last := v.role.Swap(hash); last != hash && (last != 0 || v.configuration.Load() == 0) {
		h.closeSockets(s)
	}
}

func isSocket(holder session.Holder) bool {
	held, ok := holder.(*stream)
	return ok && held.socket
}

// continuesClosed reports whether r continues a socket that closeSockets may have
// closed: polls and the upgrade of a polled socket name it.
func (v *sessionRuntime) continuesClosed(r *http.Request, now time.Time) bool {
	closed := v.socketsClosed.Load()
	if closed == 0 || monotonic.Nanoseconds(now)-closed > int64(pollsRefusedFor) {
		return false
	}
	query, err := url.QueryUnescape(r.URL.RawQuery)
	return err != nil || strings.Contains(query, "sid=")
}

// confirmSockets asks the application again about the sessions that hold a socket, if
// accounts changed since, or if their role is not known. Of an account that was
// disabled or removed the application closes no socket.
func (g *Gate) confirmSockets(ctx context.Context) {
	last := g.last.Load()
	if last == nil {
		return
	}
	var doubted []*session.Session
	g.Sessions.Held(func(s *session.Session) {
		v := runtimeOf(s)
		switch known := v.confirmation.Load(); {
		case known != nil && known.doubts == g.doubts.Load() && v.role.Load() != 0:
			v.socketsDoubted.Store(0)
		case s.HasHolder(isSocket):
			doubted = append(doubted, s)
		}
	})
	for _, s := range doubted {
		if ctx.Err() != nil {
			return
		}
		last.handler.confirmSocketsOf(ctx, s)
	}
}

// confirmSocketsOf closes the sockets of s unless the application confirms its session.
func (h *Handler) confirmSocketsOf(ctx context.Context, s *session.Session) {
	v := runtimeOf(s)
	call, ok := h.config.Gate.caller(v)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, socketsDoubtedFor)
	defer cancel()
	_, alive, err := h.confirmSession(ctx, call, s)
	now := monotonic.Nanoseconds(h.now())
	switch {
	case err == nil && alive:
	case err != nil && v.socketsDoubted.CompareAndSwap(0, now):
	case err != nil && now-v.socketsDoubted.Load() < int64(socketsDoubtedFor):
	default:
		h.closeSockets(s)
		v.socketsDoubted.Store(0)
	}
}
