// The fake application behind the gate: a few paths, one of each access.

package handler

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// fakeApplication is an application with one path of each access.
type fakeApplication struct {
	mu       sync.Mutex
	signIns  int
	as       flow.Identity                        // that the last SignIn got
	during   func(n int)                          // called by the nth SignIn before it returns; may be nil
	err      error                                // returned by SignIn and Recognize
	refuses  func(flow.Identity) error            // returned by SignIn; may be nil
	role     func(*flow.Identity) (string, error) // may be nil
	alive    map[string]bool
	failed   int
	ended    []string
	gone     []string // user names that Shut got
	opened   []string // user names that Open got
	shutting func()   // called by Shut; may be nil
	status   int

	answered []string // "path status body session" per AfterResponse; nil: not recorded

	credentials map[string]application.Recognition
	owners      map[string]string // accounts, by credential
	shut        map[string]bool   // what IsShut returns, by account
	asked       int               // calls of Recognize
	patience    time.Duration     // until the deadline of the last Recognize
	confirms    int               // calls of Confirm
	away        error             // returned by Confirm
	asking      func()            // called by Confirm; may be nil
	own         string            // the role that Confirm returns
	shutErr     error             // returned by Shut
	hold        chan struct{}     // Recognize waits until it is closed; may be nil
}

// set makes a change that background work may see at once.
func (a *fakeApplication) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func (a *fakeApplication) Intent(_ *http.Request, path string) application.Intent {
	switch path {
	case "/signin":
		return application.SignIn
	case "/signout":
		return application.SignOut
	}
	return application.None
}

func (a *fakeApplication) Access(r *http.Request, path string, plain bool) application.Access {
	switch {
	case path == "/open" && plain:
		return application.Open
	case path == "/token" && plain && r.Header.Get("Authorization") != "":
		return application.Credential
	case strings.HasPrefix(path, "/files/") && r.Header.Get("Authorization") != "":
		return application.Credential
	case path == "/vouched" && plain && r.Header.Get("Authorization") != "":
		return application.Vouched
	case path == "/closed" && plain && r.Header.Get("Authorization") != "":
		return application.CredentialClosed
	case path == "/bearer-closed" && plain && r.Header.Get("Authorization") != "":
		return application.BearerClosed
	case (path == "/bearer" || path == "/guarded") && plain && r.Header.Get("Authorization") != "":
		return application.Bearer
	case path == "/exchange" && plain:
		return application.Exchange
	}
	return application.Protected
}
func (a *fakeApplication) Socket(path string) bool { return request.Under(path, "/ws") }

func (a *fakeApplication) KeepsRole(path string) bool { return !request.Under(path, "/ws/play") }
func (a *fakeApplication) Page(path string) bool      { return !request.Under(path, "/api") }
func (a *fakeApplication) SignInTarget(r *http.Request, _ string, _ request.Origin) string {
	return r.URL.Query().Get("next")
}

func (a *fakeApplication) SignOutAnswer(url string) any { return map[string]string{"next": url} }

func (a *fakeApplication) DeniedStatus(context.Context, application.Caller) int { return a.status }

func (a *fakeApplication) Recognize(ctx context.Context, _ application.Caller, authorization string) (application.Recognition, string, error) {
	if a.hold != nil {
		<-a.hold
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	deadline, _ := ctx.Deadline()
	a.patience = time.Until(deadline)
	if a.err != nil {
		return application.Undecided, "", a.err
	}
	return a.credentials[authorization], a.owners[authorization], nil
}

func (a *fakeApplication) Exchange(*http.Request) func(context.Context, application.Caller, []byte) error {
	return func(context.Context, application.Caller, []byte) error { return nil }
}

func (a *fakeApplication) IsShut(_ context.Context, _, account string) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shut[account], a.shutErr
}

func (a *fakeApplication) Unforgeable(_ context.Context, _ application.Caller, r *http.Request) error {
	r.Header.Set("X-Unforgeable", "yes")
	return nil
}

func (a *fakeApplication) SessionCookie() string { return "app_session" }

func (a *fakeApplication) ReadCookies() []string { return []string{"app_csrf"} }

func (a *fakeApplication) BrowserCookies() []string { return []string{"app_csrf"} }

func (a *fakeApplication) ServeProvider(http.ResponseWriter, *http.Request, string) bool {
	return false
}

func (a *fakeApplication) Role(identity *flow.Identity) (string, error) {
	if a.role == nil {
		return "", nil
	}
	return a.role(identity)
}

func (a *fakeApplication) SignIn(_ context.Context, _ application.Caller, identity flow.Identity) (application.Session, error) {
	a.mu.Lock()
	a.signIns++
	n, during := a.signIns, a.during
	a.mu.Unlock()
	if during != nil {
		during(n)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.as = identity
	if a.err != nil {
		return application.Session{}, a.err
	}
	if a.refuses != nil {
		if err := a.refuses(identity); err != nil {
			return application.Session{}, err
		}
	}
	name := "app-" + strings.Repeat("i", n)
	a.alive[name] = true
	role, _ := a.Role(&identity)
	return application.Session{ID: name, Account: identity.Subject, Role: role}, nil
}

func (a *fakeApplication) Confirm(_ context.Context, _ application.Caller, session application.Session) (bool, string, error) {
	a.mu.Lock()
	a.confirms++
	err, asking, own := a.away, a.asking, a.own
	a.mu.Unlock()
	if asking != nil {
		asking()
	}
	return a.lives(session.ID), own, err
}

func (a *fakeApplication) SignOut(_ context.Context, _ application.Caller, session string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = append(a.ended, session)
	delete(a.alive, session)
	return nil
}

func (a *fakeApplication) Shut(_ context.Context, identity flow.Identity) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = append(a.gone, identity.Username)
	if a.shutting != nil {
		a.shutting()
	}
	return a.shutErr
}

func (a *fakeApplication) Open(_ context.Context, identity flow.Identity) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opened = append(a.opened, identity.Username)
	return nil
}

func (a *fakeApplication) Guard(_ context.Context, forwarded application.Forwarded, _ flow.Identity) error {
	if forwarded.Path == "/guarded" {
		return problem.NotAllowed
	}
	return nil
}

func (a *fakeApplication) Filter(header http.Header, _ bool, _ *[1]string) application.Liveness {
	header.Del("X-Private")
	switch header.Get("X-Session") {
	case "alive":
		return application.Alive
	case "forgotten":
		return application.Forgotten
	}
	return application.Unknown
}

func (a *fakeApplication) ChangesAccounts(method, _ string) bool { return method == http.MethodPut }

func (a *fakeApplication) AfterResponse(_ context.Context, forwarded application.Forwarded, response application.Response) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answered == nil {
		return false
	}
	a.answered = append(a.answered, strings.Join(strings.Fields(forwarded.Path+" "+strconv.Itoa(response.Status)+" "+string(response.Body)+" "+forwarded.Session), " "))
	return true
}

func (a *fakeApplication) Failed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed++
}

func (a *fakeApplication) lives(session string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.alive[session]
}
