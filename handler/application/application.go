package application

import (
	"context"
	"net/http"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// Intent is what a request means to do that the gate does in the application's
// place, with or without a session.
type Intent int

const (
	// None: the request is for the application.
	None Intent = iota
	// SignIn starts a sign-in.
	SignIn
	// SignOut signs out.
	SignOut
)

// Access is what an anonymous request may do.
type Access int

// The zero value is the strict one.
const (
	// Protected passes with a session only.
	Protected Access = iota
	// Open is answered by the application for anybody, unstamped.
	Open
	// Credential carries a credential that the application itself checks, in
	// its Authorization header field. It passes unstamped and keeps that, unless
	// the application does not recognize it.
	Credential
	// Bearer carries an access token of the provider's. It passes stamped, if
	// the provider vouches for it.
	Bearer
	// Exchange carries a credential in its body and wants another one for it.
	Exchange
)

// Liveness is what an answer says of the application's own session.
type Liveness int

// The zero value says nothing.
const (
	Unknown Liveness = iota
	Alive
	Forgotten
)

// Recognition is what the application makes of a credential.
type Recognition int

// The zero value says nothing.
const (
	// Undecided: the application cannot say. The request passes, and the
	// application answers it as it would without a gate.
	Undecided Recognition = iota
	// Recognized is somebody's.
	Recognized
	// Unrecognized is nobody's.
	Unrecognized
)

// Forwarded is a request that the gate passes on for a signed-in user, or with
// a credential of the application's.
type Forwarded struct {
	Request *http.Request
	Path    string // the normal path of Request
	Caller  Caller // for calls on behalf of the same user
	Session string // the application's session; empty where Caller adds the credential
}

// Application is what stands behind the gate, in its own dialect. Paths are
// normal paths: decoded, slashes merged, no trailing slash.
type Application interface {
	// Intent says whether r signs in or out.
	Intent(r *http.Request, path string) Intent
	// Access says what r may do without a session: Protected wherever its
	// Intent is not None. plain is false where the path was written in
	// an unusual way, which opens nothing that the application reads by its path.
	Access(r *http.Request, path string, plain bool) Access
	// Document reports whether a GET of path may be answered with a page.
	Document(path string) bool
	// Socket reports whether path belongs to the application's sockets.
	Socket(path string) bool
	// SignInTarget returns the local path that a request of the intent SignIn
	// wants to come back to, "/" if it names none. The gate checks it.
	SignInTarget(r *http.Request, path string, origin request.Origin) string
	// SignOutAnswer returns the body that tells the application's own page to go to url next.
	SignOutAnswer(url string) any

	// DeniedStatus is the status by which the application's own scripts
	// understand that nobody is signed in: 401 or 403.
	DeniedStatus(ctx context.Context, call Caller) int
	// Recognize asks the application about the Authorization header field of a
	// request classified Credential. With an error, which says that it cannot be
	// asked now, the request passes only if it said Recognized within the hour.
	Recognize(ctx context.Context, call Caller, authorization string) (Recognition, error)
	// SessionCookie is the name of the cookie that holds the application's own session.
	SessionCookie() string
	// BrowserCookies are the application's cookies that a browser must lose at
	// sign-in and at sign-out.
	BrowserCookies() []string

	// SignIn signs identity in to the application and returns the
	// application's own session. Its errors are Problems where a person can do something.
	SignIn(ctx context.Context, call Caller, identity flow.Identity) (session string, err error)
	// Confirm asks the application whether session still lives.
	Confirm(ctx context.Context, call Caller, session string) (alive bool, err error)
	// SignOut ends session in the application.
	SignOut(ctx context.Context, call Caller, session string) error
	// Unforgeable tells the application that nobody can have been made to send
	// r, which is stamped, so that it needs no CSRF token.
	Unforgeable(r *http.Request)
	// Shut is told that the provider or the policy no longer lets identity in:
	// what else opens its account does not either, until its next sign-in.
	Shut(ctx context.Context, identity flow.Identity) error
	// Guard returns a Problem if the signed-in user identity may not make the
	// request now.
	Guard(ctx context.Context, forwarded Forwarded, identity flow.Identity) error

	// Filter rewrites the header of the application's answer before it goes
	// to a browser, and reads from it what became of the session that a
	// stamped request carried.
	Filter(header http.Header, stamped bool) Liveness
	// AfterResponse runs after the response to a stamped request, or to one with
	// a credential. status is 0 if the client went away before the header.
	AfterResponse(ctx context.Context, forwarded Forwarded, status int)
	// Failed is told that the application, or what stands before it, answered 502 to 504.
	Failed()

	// ServeProvider answers the requests that the application itself makes
	// of the gate below /api/oauth/openid, and reports whether path is one of them.
	ServeProvider(w http.ResponseWriter, r *http.Request, path string) bool
}

// Chain is the rest of the server's handler chain, as one request sees it.
type Chain interface {
	// Serve passes r on.
	Serve(w http.ResponseWriter, r *http.Request) error
	// Fresh readies r, which the gate made itself on behalf of visitor, to be
	// served as a request of its own.
	Fresh(w http.ResponseWriter, r, visitor *http.Request) *http.Request
	// Keep returns a chain that outlives the request, for calls that no request asks for.
	Keep() Chain
	// Identify tells the server whose request this is: placeholders and the access log.
	Identify(identity *flow.Identity)
	// OriginalURI is the path and query that the client asked for, before any rewrite.
	OriginalURI() string
	// ClientIP is the visitor's address, as the server determined it.
	ClientIP() string
	// TrustedProxy reports whether the request came through a proxy that the operator trusts.
	TrustedProxy() bool
}
