// The modules of the OpenID Foundation's conformance suite, played by the stand-in.

package handler

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/conformance"
)

// conformanceUser is a user with a session at the provider, as the suite has one.
type conformanceUser struct {
	*visitor
	plan   *conformance.Plan
	module *conformance.Module
	shown  string // the page that the sign-in ended on
}

// Each module of the suite's plans for relying parties. The provider violates the
// specification in one place: the gate refuses, with the code that SECURITY.md
// names, and asks the provider nothing more.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, plan := range conformance.Plans() {
		t.Run(plan.ID, func(t *testing.T) {
			for i := range plan.Modules {
				module := &plan.Modules[i]
				t.Run(module.Name, func(t *testing.T) {
					client := func(o *authelia.Options) {
						refreshingClient(o)
						for _, change := range []func(*authelia.Client){plan.Client, module.Client} {
							if change != nil {
								change(&o.Clients[0])
							}
						}
						if plan.Strict {
							o.Clients[0].AuthMethod, o.Clients[0].AuthAlg = "private_key_jwt", "ES256"
							o.Clients[0].JWKS = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{conformanceKey().Public()}}
						}
					}
					inBubble(t, client, nil, func(s *siteWithProvider) { playModule(s, &plan, module) })
				})
			}
		})
	}
}

// playModule lets the user do what the suite asks for.
func playModule(s *siteWithProvider, plan *conformance.Plan, module *conformance.Module) {
	if plan.Strict {
		s.useKey()
	}
	if plan.FormPost {
		s.useForms()
	}
	user := &conformanceUser{visitor: s.visitor(), plan: plan, module: module}
	s.op.Misbehave(func(m *authelia.Misbehaviour) {
		if module.Behave != nil && plan.Kind != conformance.Refresh {
			module.Behave(m)
		}
		m.Metadata = authelia.Edits(
			authelia.Set("require_pushed_authorization_requests", plan.Strict), authelia.Set("end_session_endpoint", s.op.Issuer()+"/end"), m.Metadata,
		)
		m.IDToken = authelia.Edits(authelia.Set("sid", "session-1"), m.IDToken)
	})
	switch plan.Kind {
	case conformance.SignIn:
		user.checkSignIn(user.signIn())
		if check := conformanceChecks[module.Name]; check != nil {
			check(user)
		}
	case conformance.Refresh:
		user.refresh()
	case conformance.SignOut:
		user.signIn()
		user.comeBack(user.signOut())
	case conformance.BackChannel:
		user.signIn()
		other := &conformanceUser{visitor: s.visitor(), plan: plan, module: module}
		other.signIn()
		way := user.signOut()
		other.backChannel()
		user.comeBack(way)
	}
}

// signIn opens the site, and follows the gate's redirects to where it shows something.
func (u *conformanceUser) signIn() *httptest.ResponseRecorder {
	w := u.get("/")
	for range 4 { // a lost state makes two further attempts
		switch location := w.Header().Get("Location"); {
		case strings.HasPrefix(location, u.op.Issuer()+"/"):
			w = u.at(w, nil)
		case strings.HasPrefix(location, failedPath):
			return u.get(location)
		default:
			return w
		}
	}
	u.Fatalf("got a redirect to %s, want the redirects to end", w.Header().Get("Location"))
	return nil
}

// signedIn reports whether the browser has a session.
func (u *conformanceUser) signedIn() bool {
	ticket := u.cookies["__Host-romm_oidc"]
	return ticket != "" && u.session("__Host-romm_oidc="+ticket) != nil
}

// logged reports whether an entry of the log with the code has the module's cause.
func (u *conformanceUser) logged() bool {
	for _, entry := range u.logs.All() {
		cause, _ := entry.ContextMap()["cause"].(string)
		if entry.ContextMap()["code"] == u.module.Code && strings.Contains(cause, u.module.Cause) {
			return true
		}
	}
	return false
}

// checkSignIn checks the end of a sign-in.
func (u *conformanceUser) checkSignIn(w *httptest.ResponseRecorder) {
	u.Helper()
	u.shown = html.UnescapeString(w.Body.String())
	if u.module.Code == "" {
		if !u.signedIn() || w.Code != http.StatusSeeOther {
			u.Errorf("got %d %s, want a session", w.Code, w.Body)
		}
		u.wantCalls(authelia.EndpointToken, 1)
		u.wantCalls(authelia.EndpointUserinfo, 1)
		return
	}
	if u.signedIn() || u.app.signIns > 0 || !strings.Contains(w.Body.String(), u.module.Code+" · reference") {
		u.Errorf("got %d %s, want no session and the page %s", w.Code, w.Body, u.module.Code)
	}
	if !u.logged() {
		u.Errorf("the log has no %s with the cause %q: %v", u.module.Code, u.module.Cause, u.logs.All())
	}
	endpoints := []string{authelia.EndpointDiscovery, authelia.EndpointAuthorization, authelia.EndpointToken, authelia.EndpointUserinfo}
	for _, later := range endpoints[slices.Index(endpoints, u.module.Last)+1:] {
		u.wantCalls(later, 0)
	}
}

// refresh uses a session until its tokens are refreshed.
func (u *conformanceUser) refresh() {
	u.signIn()
	ticket := "__Host-romm_oidc=" + u.cookies["__Host-romm_oidc"]
	u.useFor(50*time.Minute, ticket)
	old := u.session(ticket).Record().Tokens.Access
	if u.module.Behave != nil {
		u.op.Misbehave(u.module.Behave)
	}
	u.op.ForgetRequests()
	for range 10 {
		u.advance(time.Minute)
		u.do(u, "/api/x", "Cookie", ticket)
	}
	u.settle()
	u.wantCalls(authelia.EndpointToken, 1)
	for _, asked := range u.op.Requests(authelia.EndpointUserinfo) {
		if u.module.Code != "" && asked.Header.Get("Authorization") != "Bearer "+old {
			u.Errorf("the gate used a refreshed access token: %v", asked.Header)
		}
	}
	if u.module.Code != "" {
		u.wantEnded(ticket, u.module.Code, true)
		return
	}
	fresh, ok := u.op.LastRequest(authelia.EndpointUserinfo)
	if found := u.session(ticket); found == nil || !ok || fresh.Header.Get("Authorization") == "Bearer "+old || fresh.Header.Get("Authorization") != "Bearer "+found.Record().Tokens.Access {
		u.Errorf("session %v asked userinfo with %v, want it alive and the new access token", found, fresh.Header)
	}
}

// signOut signs the user out here, and returns the request to the provider.
func (u *conformanceUser) signOut() url.Values {
	u.Helper()
	idToken := u.session("__Host-romm_oidc=" + u.cookies["__Host-romm_oidc"]).Record().Tokens.ID
	w := u.get("POST " + request.Base + "/logout")
	location, err := url.Parse(w.Header().Get("Location"))
	query := location.Query()
	if err != nil || location.Path != "/end" || query.Get("id_token_hint") != idToken || query.Get("client_id") != "romm" || query.Get("state") == "" ||
		query.Get("post_logout_redirect_uri") != "https://romm.example.com"+signedOutPath || u.signedIn() {
		u.Fatalf("got %d to %s, want the end of the session and the request to the end-session endpoint", w.Code, location)
	}
	return query
}

// comeBack returns from the provider's end-session endpoint.
func (u *conformanceUser) comeBack(asked url.Values) {
	u.Helper()
	query := url.Values{"state": asked["state"]}
	if u.module.PostLogout != nil {
		u.module.PostLogout(query)
	}
	w := u.get(signedOutPath + "?" + query.Encode())
	if w.Header().Get("Location") == signedOutPath {
		w = u.get(signedOutPath)
	}
	refused := strings.Contains(w.Body.String(), u.module.Code+" · reference")
	if want := u.module.Code != "" && u.plan.Kind == conformance.SignOut; refused != want && want || !want && !strings.Contains(w.Body.String(), "You are signed out") {
		u.Errorf("back from the provider: got %d %s, want it refused: %v", w.Code, w.Body, want)
	}
}

// backChannel sends the module's logout token for the user's session.
func (u *conformanceUser) backChannel() {
	u.Helper()
	token := u.op.LogoutToken("romm", u.module.Signature, authelia.Edits(
		authelia.Set("sub", u.op.Subject("alice")), authelia.Set("sid", "session-1"), u.module.LogoutToken,
	))
	status := http.StatusOK
	if u.module.Code != "" {
		status = http.StatusBadRequest
	}
	w := (&siteWithBackchannel{u.site, u.op}).postLogout(u, form(token))
	u.settle()
	if w.Code != status || u.signedIn() != (u.module.Code != "") {
		u.Errorf("got %d %s and a session: %v, want %d", w.Code, w.Body, u.signedIn(), status)
	}
	if u.module.Code != "" && !u.logged() {
		u.Errorf("the log has no %s with the cause %q", u.module.Code, u.module.Cause)
	}
}
