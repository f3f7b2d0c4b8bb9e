// What the gate asks of the application, and of the handler chain.

package application

import (
	"context"
	"net/http"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// Intent is what a request means to do that the gate does in place of the
// application, with or without a session.
type Intent int

// The intents.
const (
	None    Intent = iota // the request is for the application
	SignIn                // the request starts a sign-in
	SignOut               // the request signs the user out
	LogIn                 // the request has a password or the like in its body
)

// Access is what an anonymous request may do.
type Access int

// The zero value is the strict one.
const (
	// Protected needs a session.
	Protected Access = iota
	// Open needs nothing and passes unstamped.
	Open
	// Credential has an Authorization header field that the application checks.
	// The request passes unstamped and keeps the field, unless the application
	// does not recognize the credential.
	Credential
	// Vouched is Credential for what the application opens without a check. The
	// request passes only if the application has recognized the credential.
	Vouched
	// CredentialClosed has a credential as above, and is closed to credentials.
	CredentialClosed
	// Bearer has an access token that the provider issued. The request passes
	// stamped if the provider confirms the token.
	Bearer
	// BearerClosed has an access token as above, and is closed to access tokens.
	BearerClosed
	// Exchange has a credential in its body and asks for a token in return.
	Exchange
)

// Liveness is what a response says about the application's session.
type Liveness int

// The zero value says nothing.
const (
	Unknown   Liveness = iota // the response does not tell
	Alive                     // the application knows the session
	Forgotten                 // the application does not know the session
)

// Recognition is the application's verdict on a credential.
type Recognition int

// The zero value is no verdict.
const (
	// Undecided means that the application cannot tell. A Credential request
	// passes, and the application answers it as it would without the gate.
	Undecided Recognition = iota
	// Recognized means that the credential is valid.
	Recognized
	// Unrecognized means that the credential is not valid.
	Unrecognized
)

// Forwarded is a request that the gate passes on for a signed-in user, or with
// a credential that the application checks.
type Forwarded struct {
	Request *http.Request
	Path    string // the normal path of Request
	Session string // the application's session; empty where Caller adds the credential
	Client  interface {
		Caller() Caller // for calls on behalf of the same user
	}
}

// Response is what the application answered to a request that can change its
// accounts.
type Response struct {
	Status int    // 0: the application had not answered when the gate stopped waiting
	Body   []byte // of a 2xx response, at most ResponseLimit bytes
}

// ResponseLimit bounds Response.Body, in bytes. A body that reaches it may be cut.
const ResponseLimit = 1 << 20

// Session is the application's own session for a user.
type Session struct {
	ID      string
	Account string // the account that it belongs to, in a form that is never used again for another; empty: unknown
	Role    string // what Role returned for the user at the sign-in; empty: the application's own
}

// Application is what stands behind the gate. Paths are normal paths as
// [request.NormalPath] returns them: decoded, slashes merged, no trailing slash.
type Application interface {
	// Intent says whether r signs in or out.
	Intent(r *http.Request, path string) Intent
	// Access says what r may do without a session. Nothing may pass where Intent
	// is not None. plain is false if the path was spelled unusually; see
	// [request.Ambiguous] for what the application might read differently.
	Access(r *http.Request, path string, plain bool) Access
	// Socket reports whether path belongs to the application's WebSockets.
	Socket(path string) bool
	// KeepsRole reports whether a socket at path keeps the role that its user had
	// when it opened.
	KeepsRole(path string) bool
	// Page reports whether path belongs to the application's pages, and not to its
	// API or its files.
	Page(path string) bool
	// SignInTarget returns the local path that a SignIn request wants to come
	// back to, "/" if it names none. The gate checks that it is local.
	SignInTarget(r *http.Request, path string, origin request.Origin) string
	// SignOutAnswer returns the JSON that makes the application's page go to url.
	SignOutAnswer(url string) any

	// DeniedStatus returns the status that tells the application's scripts that
	// the user is signed out: 401 or 403.
	DeniedStatus(ctx context.Context, call Caller) int
	// Recognize asks the application about the Authorization header field of a
	// request with a credential. It also returns the credential's account as in
	// Session, empty if it is unknown. An error that is a Problem with Away means
	// that the application cannot be asked now; a Credential request then passes
	// only if the credential was Recognized within the last hour.
	Recognize(ctx context.Context, call Caller, authorization string) (Recognition, string, error)
	// IsShut reports whether Shut closed an account that Recognize returned for a
	// credential, or whether the credential cannot be that account's any more. It
	// does not ask the application. For a credential of an unknown account it returns
	// a Problem if it cannot tell.
	IsShut(ctx context.Context, authorization, account string) (bool, error)
	// Exchange prepares r, an Exchange request with its whole body in memory, for the
	// application. The gate calls issued with the body of a successful response. If
	// that returns an error, the client must not get the response.
	Exchange(r *http.Request) (issued func(ctx context.Context, call Caller, body []byte) error)
	// SessionCookie returns the name of the application's session cookie.
	SessionCookie() string
	// ReadCookies returns the names of the other cookies that the application
	// reads, in any release. No other cookie reaches it.
	ReadCookies() []string
	// BrowserCookies returns the names of the application's cookies that the
	// browser must lose at sign-in and at sign-out.
	BrowserCookies() []string

	// SignIn signs identity in to the application and returns the application's
	// session. Its error is a Problem if the user or the operator can act on it.
	SignIn(ctx context.Context, call Caller, identity flow.Identity) (Session, error)
	// Confirm asks the application whether session is still alive and still belongs
	// to its account. role is the application's own word for the role that the account
	// has now. An error says that the application did not tell.
	Confirm(ctx context.Context, call Caller, session Session) (alive bool, role string, err error)
	// Role returns the role that identity has by the operator's rules, empty if
	// the application's own roles are left alone, and a Problem if identity may
	// not sign in.
	Role(identity *flow.Identity) (string, error)
	// SignOut ends the session with this ID in the application.
	SignOut(ctx context.Context, call Caller, session string) error
	// Unforgeable marks r, which is stamped, as a request that no other site can
	// have caused, so that the application's CSRF check passes.
	Unforgeable(ctx context.Context, call Caller, r *http.Request) error
	// Shut revokes what else opens the account of identity, such as tokens and
	// passwords, until Open. The gate calls it when the provider or
	// the policy no longer lets identity in.
	Shut(ctx context.Context, identity flow.Identity) error
	// Open undoes Shut. The gate calls it when identity has signed in at the
	// provider and to the application; a sign-in that only repeats an earlier one
	// for the same session may come from before Shut.
	Open(ctx context.Context, identity flow.Identity) error
	// Guard returns a Problem if the signed-in user identity may not make the
	// request now.
	Guard(ctx context.Context, forwarded Forwarded, identity flow.Identity) error

	// Filter rewrites the header of a response on its way to the client, and
	// returns what it says about the session of a stamped request. A field that it
	// adds has its value in room, which then belongs to the header.
	Filter(header http.Header, stamped bool, room *[1]string) Liveness
	// ChangesAccounts reports whether a request with method to path can change who
	// has which account of the application.
	ChangesAccounts(method, path string) bool
	// AfterResponse runs after the response to a stamped request, or to one with a
	// credential, where ChangesAccounts is true. It reports whether a confirmation
	// from before the response may be wrong.
	AfterResponse(ctx context.Context, forwarded Forwarded, response Response) (changed bool)
	// Failed tells the application that it was unreachable: no response, or one
	// of 502 to 504.
	Failed()

	// ServeProvider answers a request of the application to the gate as its
	// OpenID Provider. path is relative to [request.Base]. It returns false, and
	// writes nothing, if path is not one of the provider's.
	ServeProvider(w http.ResponseWriter, r *http.Request, path string) bool
}

// Chain is the rest of the server's handler chain for one request.
type Chain interface {
	// Serve passes r to the next handler.
	Serve(w http.ResponseWriter, r *http.Request) error
	// Unreachable reports whether err, which Serve returned, says that what is
	// behind the gate did not answer.
	Unreachable(err error) bool
	// HandlesErrors reports whether the site has its own answer to the request if
	// the gate returns an error.
	HandlesErrors() bool
	// Fresh prepares r, which the gate made on behalf of visitor, to be served
	// as a request of its own.
	Fresh(w http.ResponseWriter, r, visitor *http.Request) *http.Request
	// Keep returns a chain that outlives the request, for background calls, and nil if
	// the chain is not to be used for long.
	Keep() Chain
	// Identify tells the server the user, their session and a refusal, for
	// placeholders and the access log. values returns the value of a placeholder,
	// without braces, and false if it is not one of these.
	Identify(values func(placeholder string) (any, bool))
	// OriginalURI returns the path and query as the client sent them, before
	// any rewrite.
	OriginalURI() string
	// ClientIP returns the client's address, as the server determined it.
	ClientIP() string
	// TrustedProxy reports whether the request came through one of the
	// operator's trusted proxies.
	TrustedProxy() bool
}
