// Package conformance has the modules of the OpenID Foundation's conformance suite for relying parties, release 5.2.3, as
// behaviours of the stand-in provider. It needs no Caddy.
package conformance

import (
	"net/url"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Kind is what the user does in the modules of a plan.
type Kind int

// The kinds.
const (
	SignIn      Kind = iota
	Refresh          // sign in, and use the session until its tokens are refreshed
	SignOut          // sign in and out, and come back from the provider's end-session endpoint
	BackChannel      // the same, while the provider sends a logout token for another session of the user
)

// Plan is a test plan of the suite.
type Plan struct {
	ID       string // in the suite; empty for modules outside the plans
	Title    string
	Kind     Kind
	Client   func(*authelia.Client) // how the client is registered; may be nil
	Strict   bool                   // the provider requires pushed authorization requests and private_key_jwt
	FormPost bool                   // the client asks for responses in a form
	Modules  []Module
}

// Module is a test module of the suite.
type Module struct {
	Name     string // in the suite
	Provider string // what the provider does
	Gate     string // what the gate does beyond what its code says; may be empty
	Code     string // the code with which the gate refuses; empty: it accepts
	Cause    string // part of the cause in the gate's log
	Last     string // the endpoint after which a gate that refuses asks the provider nothing more

	Client func(*authelia.Client)       // how the client is registered; may be nil
	Behave func(*authelia.Misbehaviour) // may be nil; in a Refresh, from the first refresh on

	LogoutToken authelia.Edit      // in a BackChannel
	Signature   authelia.Signature // of the logout token
	PostLogout  func(url.Values)   // in a SignOut: edits the query of the way back; may be nil
}

// Outcome says what the gate does, for the documentation.
func (p *Plan) Outcome(m *Module) string {
	accepts := map[Kind]string{
		SignIn: "signs the user in", Refresh: "uses the new tokens", SignOut: "shows the signed-out page",
		BackChannel: "answers 200 and ends the session",
	}
	refuses := map[Kind]string{
		SignIn: "refuses the sign-in: ", Refresh: "ends the session: ", SignOut: "shows a page: ", BackChannel: "answers 400 and ends no session: ",
	}
	outcome := accepts[p.Kind]
	if m.Code != "" {
		outcome = refuses[p.Kind] + "`" + m.Code + "`"
	}
	if m.Gate != "" {
		outcome += ". " + m.Gate
	}
	return outcome
}

// Table is the plan in Markdown.
func (p *Plan) Table() string {
	var table strings.Builder
	table.WriteString("| module | the provider | the gate |\n|---|---|---|\n")
	for i := range p.Modules {
		m := &p.Modules[i]
		table.WriteString("| `" + m.Name + "` | " + m.Provider + " | " + p.Outcome(m) + " |\n")
	}
	return table.String()
}

// Plans returns all plans.
func Plans() []Plan {
	return []Plan{basic(), formPost(), config(), refresh(), rpInitiated(), backChannel(), codeFlow(), fapi2()}
}

// idToken makes a module's behaviour of an edit of the ID token.
func idToken(edit authelia.Edit) func(*authelia.Misbehaviour) {
	return func(m *authelia.Misbehaviour) { m.IDToken = edit }
}

// signed makes a module's behaviour of the way in which ID tokens are signed.
func signed(signature authelia.Signature) func(*authelia.Misbehaviour) {
	return func(m *authelia.Misbehaviour) { m.Signature = signature }
}

// response makes a module's behaviour of an edit of the authorization response.
func response(edit func(url.Values)) func(*authelia.Misbehaviour) {
	return func(m *authelia.Misbehaviour) { m.AuthorizationResponse = edit }
}

// tokens makes a module's behaviour of an edit of the token response.
func tokens(edit authelia.Edit) func(*authelia.Misbehaviour) {
	return func(m *authelia.Misbehaviour) { m.TokenResponse = edit }
}

// metadata makes a module's behaviour of an edit of the discovery document.
func metadata(edit authelia.Edit) func(*authelia.Misbehaviour) {
	return func(m *authelia.Misbehaviour) { m.Metadata = edit }
}
