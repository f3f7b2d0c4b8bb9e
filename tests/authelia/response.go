// The authorization response in each response mode.

package authelia

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// responseModes are the modes that the original knows. A client may use query, form_post and those it is registered for.
var responseModes = []string{"form_post", "query", "fragment", "jwt", "form_post.jwt", "query.jwt", "fragment.jwt"}

// formPostScript submits the form. Its hash is in the Content-Security-Policy.
const formPostScript = `document.forms[0].submit()`

var formPost = template.Must(template.New("form_post").Parse(`<!doctype html><html><head><meta charset="utf-8"><title>Submit This Form</title></head>` +
	`<body><form method="post" action="{{.URI}}">{{range $name, $values := .Params}}{{range $values}}` +
	`<input type="hidden" name="{{$name}}" value="{{.}}">{{end}}{{end}}</form><script>` + formPostScript + `</script></body></html>`))

// deliverError sends an error to the redirect URI.
func (s *Server) deliverError(a *authorization, e *oauthError) answer {
	params := url.Values{"error": {e.code}, "error_description": {e.text()}}
	return s.deliver(a, params)
}

// deliver sends the response to the redirect URI, in the mode requested. Every response has iss (RFC 9207), inside the
// JWT if there is one.
func (s *Server) deliver(a *authorization, params url.Values) answer {
	params.Set("iss", s.Issuer())
	if a.query.Has("state") {
		params.Set("state", a.query.Get("state"))
	}
	if edit := s.misbehaviour.AuthorizationResponse; edit != nil {
		edit(params)
	}
	mode, secured := strings.CutSuffix(a.mode, ".jwt")
	if a.mode == "jwt" {
		mode, secured = "query", true
	}
	if secured {
		params = url.Values{"response": {s.secure(a.client, params)}}
	}
	if mode == "form_post" {
		return postForm(a.redirectURI, params, secured)
	}
	target, err := url.Parse(a.redirectURI)
	if err != nil {
		return s.complete(errInvalidRequest.with("The redirect URI cannot be parsed."))
	}
	if mode == "fragment" {
		return redirect(http.StatusSeeOther, a.redirectURI+"#"+params.Encode())
	}
	query := target.Query()
	maps.Copy(query, params)
	target.RawQuery = query.Encode()
	return redirect(http.StatusSeeOther, target.String())
}

// secure returns the parameters as a JWT (JARM).
func (s *Server) secure(c *Client, params url.Values) string {
	now := s.now()
	claims := map[string]any{"aud": []string{c.ID}, "exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix(), "jti": newUUID()}
	for name := range params {
		claims[name] = params.Get(name)
	}
	return sign(s.keys.find("RS256"), claims)
}

// postForm returns the form_post page. In form_post.jwt the original leaves out the script's hash, and the browser stays
// on a blank page.
func postForm(uri string, params url.Values, secured bool) answer {
	var page bytes.Buffer
	if err := formPost.Execute(&page, map[string]any{"URI": uri, "Params": params}); err != nil {
		panic(fmt.Sprintf("authelia: rendering the form: %v", err))
	}
	policy := "default-src 'none'"
	if !secured {
		hash := sha256.Sum256([]byte(formPostScript))
		policy += "; script-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'"
	}
	return newAnswer(http.StatusOK, "text/html; charset=utf-8", page.Bytes()).
		with("Content-Security-Policy", policy, "Cache-Control", "no-store")
}
