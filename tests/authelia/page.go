// The portal's HTML pages.

package authelia

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageHTML string

var pages = template.Must(template.New("page").Parse(pageHTML))

// page is the data of the template.
type page struct {
	Nonce string // of the style and the script
	Kind  string // login, consent, authenticated, logout or message
	Title string
	Error string
	// Action is the URL of the page's form. Without it the browser would keep the fragment that the redirects to the
	// portal carry along. The original's page loses it too.
	Action string

	Username string
	Client   string
	Scopes   []string
	Password bool // the page asks for it again
	Remember bool // the page offers to remember the consent
	Message  string
	Detail   string
	Target   string
}

func (s *Server) page(status int, p page) answer {
	p.Nonce = rand.Text()
	var body bytes.Buffer
	if err := pages.Execute(&body, p); err != nil {
		panic(fmt.Sprintf("authelia: rendering %s: %v", p.Kind, err))
	}
	// No form-action: browsers apply it to the redirects that follow a form, and those lead to the relying party.
	policy := fmt.Sprintf("default-src 'none'; style-src 'nonce-%[1]s'; script-src 'nonce-%[1]s'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'", p.Nonce)
	return newAnswer(status, "text/html; charset=utf-8", body.Bytes()).
		with("Cache-Control", "no-store", "Content-Security-Policy", policy, "Referrer-Policy", "strict-origin-when-cross-origin")
}

func (s *Server) loginPage(r *http.Request, status int, flow *consentFlow, username, problem string) answer {
	p := page{Kind: "login", Title: "Sign in", Username: username, Error: problem, Action: r.URL.RequestURI()}
	if flow != nil {
		p.Client = flow.query.Get("client_id")
	}
	return s.page(status, p)
}

func (s *Server) consentPage(r *http.Request, status int, a *authorization, sess *session, password bool, problem string) answer {
	return s.page(status, page{
		Kind: "consent", Title: "Consent", Username: sess.username, Client: a.client.ID,
		Scopes: describe(a.scopes), Password: password, Remember: a.client.ConsentMode == consentPreConfigured, Error: problem, Action: r.URL.RequestURI(),
	})
}

func (s *Server) authenticatedPage(username string) answer {
	return s.page(http.StatusOK, page{Kind: "authenticated", Title: "Authenticated", Username: username})
}

func (s *Server) signOutPage(target string) answer {
	return s.page(http.StatusOK, page{Kind: "logout", Title: "Sign out", Target: target})
}

func (s *Server) completionPage(title, message, detail string) answer {
	return s.page(http.StatusOK, page{Kind: "message", Title: title, Message: message, Detail: detail})
}

// completion is the page for requests whose response cannot go to the client.
func (s *Server) completion(r *http.Request) answer {
	query := r.URL.Query()
	if query.Get("error") == "" {
		return s.completionPage("Done", "You can close this page.", "")
	}
	return s.completionPage("An error occurred processing the request",
		query.Get("error_description")+" "+query.Get("error_hint"), query.Get("error"))
}
