// The gate's own responses: pages, JSON and redirects.

package problem

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// pagePolicy is the Content-Security-Policy of the gate's pages: no sources,
// except the one stylesheet by its hash and the icon, which is part of the page:
// a page that waits must make no request.
var pagePolicy = "default-src 'none'; img-src data:; style-src 'sha256-" + styleHash(pageSource) + "'; base-uri 'none'; frame-ancestors 'none'"

func styleHash(source string) string {
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(source)[1]
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Page is the content of a page of the gate. Its texts are English; the page
// comes in the language of the browser. "{provider}", "{user}", "{email}" and
// "{site}" in them become the fields of that name. A part of Hint between
// backticks is something to copy.
type Page struct {
	Status    int
	Code      string
	Title     string
	Text      string
	Also      string // a second sentence; empty: none
	Hint      string
	Reference string

	Site     string // the site's name
	Provider string // the provider's label
	User     string
	Email    string
	SeeAll   string // where users see their sessions; empty: no link

	Links    []Link
	Button   *Link // submits a POST; nil: none
	Sessions []SessionRow
	Retry    time.Duration // when the page reloads itself; 0: never
	RetryAt  string        // the address that it then loads; empty: its own
}

// Link is a link or a button on a page.
type Link struct {
	ID, Label, Href string
	End             string // for a button, the sessions that it ends; empty: none
}

// SessionRow is a session in the list of the user's sessions.
type SessionRow struct {
	ID              string
	This            bool   // the session that the request came with
	Browser, System string // their names; may be empty
	Address         string // of the client that signed in; may be empty
	Created, Seen   time.Time
}

// Write sends the page. For HEAD it sends only the header.
func (p *Page) Write(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	in := translationFor(r)
	if err := pageTemplate.Execute(&body, view{p, in, time.Now()}); err != nil {
		panic(err) // only if page.html names a field that does not exist
	}
	header := OwnHeader(w, "text/html; charset=utf-8", p.Retry)
	header.Set("Content-Language", in.tag.String())
	header.Add("Vary", "Accept-Language")
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("X-Frame-Options", "DENY")
	if p.Retry > 0 {
		refresh := strconv.Itoa(int(p.Retry.Seconds()))
		if p.RetryAt != "" {
			refresh += "; url=" + p.RetryAt
		}
		header.Set("Refresh", refresh)
	}
	Send(w, r, p.Status, body.Bytes())
}

// JSON is a response for a program.
type JSON struct {
	Status int
	Value  any           // must marshal without an error
	Retry  time.Duration // sent as Retry-After; 0: not sent
}

// Write sends the response. For HEAD it sends only the header.
func (j JSON) Write(w http.ResponseWriter, r *http.Request) {
	body, err := json.Marshal(j.Value)
	if err != nil {
		panic(err) // only the gate's own values get here
	}
	OwnHeader(w, "application/json", j.Retry)
	Send(w, r, j.Status, body)
}

// OwnHeader sets the header fields that every response of the gate carries, and
// returns the header. contentType is empty if there is no body; retry is sent
// as Retry-After unless it is 0.
func OwnHeader(w http.ResponseWriter, contentType string, retry time.Duration) http.Header {
	header := w.Header()
	values := [...]string{"no-store", "same-origin", "nosniff", contentType} // one allocation, and no field shares a slice
	header["Cache-Control"] = values[0:1:1]
	header["Referrer-Policy"] = values[1:2:2]
	header["X-Content-Type-Options"] = values[2:3:3]
	if contentType != "" {
		header["Content-Type"] = values[3:4:4]
	}
	if retry > 0 {
		header.Set("Retry-After", strconv.Itoa(int(retry.Seconds())))
	}
	return header
}

// Send writes the status and the body, without the body for HEAD. The caller has
// called OwnHeader before.
func Send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // an error means that the client went away
	}
}

// Redirect redirects to location with an empty body.
func Redirect(w http.ResponseWriter, status int, location string) {
	header := OwnHeader(w, "", 0)
	header.Set("Location", location)
	header.Set("Content-Length", "0")
	w.WriteHeader(status)
}

// Named replaces "{provider}" in text with the provider's label.
func Named(text, provider string) string { return strings.ReplaceAll(text, "{provider}", provider) }
