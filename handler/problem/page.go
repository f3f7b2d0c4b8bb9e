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

// pagePolicy is the Content-Security-Policy of our pages: no source at all,
// and the one stylesheet by its hash.
var pagePolicy = "default-src 'none'; style-src 'sha256-" + styleHash(pageSource) + "'; base-uri 'none'; frame-ancestors 'none'"

func styleHash(source string) string {
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(source)[1]
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Page is what page.html shows.
type Page struct {
	Status    int
	Code      string
	Title     string
	Text      string
	Hint      string
	Reference string
	Links     []Link
	Button    *Link // sent with POST
	Sessions  []SessionRow
	Retry     time.Duration
}

type Link struct {
	ID, Label, Href string
	End             string // which sessions a button ends; empty: it says nothing of any
}

// SessionRow is a session on the page.
type SessionRow struct {
	ID            string
	This          bool
	Created, Seen string
	Node          string
}

// Write sends the page, or only its header for HEAD.
func (p *Page) Write(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, p); err != nil {
		panic(err) // only if page.html names a field that does not exist
	}
	header := OwnHeader(w, "text/html; charset=utf-8", p.Retry)
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("X-Frame-Options", "DENY")
	if p.Retry > 0 {
		header.Set("Refresh", strconv.Itoa(int(p.Retry.Seconds())))
	}
	Send(w, r, p.Status, body.Bytes())
}

// WriteJSON sends v as the gate's own answer.
func WriteJSON(w http.ResponseWriter, r *http.Request, status int, v any, retry time.Duration) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only values of our own come here
	}
	OwnHeader(w, "application/json", retry)
	Send(w, r, status, body)
}

// OwnHeader sets what every answer of the gate's own carries.
func OwnHeader(w http.ResponseWriter, contentType string, retry time.Duration) http.Header {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("X-Content-Type-Options", "nosniff")
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	if retry > 0 {
		header.Set("Retry-After", strconv.Itoa(int(retry.Seconds())))
	}
	return header
}

func Send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the browser has gone; there is nobody to tell
	}
}

// Redirect sends the browser on. The body is empty: what needs one is a page.
func Redirect(w http.ResponseWriter, status int, location string) {
	header := OwnHeader(w, "", 0)
	header.Set("Location", location)
	header.Set("Content-Length", "0")
	w.WriteHeader(status)
}

// Named puts the provider's label into a text.
func Named(text, provider string) string { return strings.ReplaceAll(text, "{provider}", provider) }
