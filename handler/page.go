package handler

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

// page is what page.html shows.
type page struct {
	Status    int
	Code      string
	Title     string
	Text      string
	Hint      string
	Reference string
	Links     []link
	Button    *link // sent with POST
	Sessions  []sessionRow
	Retry     time.Duration
}

type link struct {
	ID, Label, Href string
	End             string // which sessions a button ends; empty: it says nothing of any
}

// sessionRow is a session on the page.
type sessionRow struct {
	ID            string
	This          bool
	Created, Seen string
	Node          string
}

// write sends the page, or only its header for HEAD.
func (p *page) write(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, p); err != nil {
		panic(err) // only if page.html names a field that does not exist
	}
	header := ownHeader(w, "text/html; charset=utf-8", p.Retry)
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("X-Frame-Options", "DENY")
	if p.Retry > 0 {
		header.Set("Refresh", strconv.Itoa(int(p.Retry.Seconds())))
	}
	send(w, r, p.Status, body.Bytes())
}

// writeJSON sends v as the gate's own answer.
func writeJSON(w http.ResponseWriter, r *http.Request, status int, v any, retry time.Duration) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only values of our own come here
	}
	ownHeader(w, "application/json", retry)
	send(w, r, status, body)
}

// ownHeader sets what every answer of the gate's own carries.
func ownHeader(w http.ResponseWriter, contentType string, retry time.Duration) http.Header {
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

func send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the browser has gone; there is nobody to tell
	}
}

// redirect sends the browser on. The body is empty: what needs one is a page.
func redirect(w http.ResponseWriter, status int, location string) {
	header := ownHeader(w, "", 0)
	header.Set("Location", location)
	header.Set("Content-Length", "0")
	w.WriteHeader(status)
}

// named puts the provider's label into a text.
func named(text, provider string) string { return strings.ReplaceAll(text, "{provider}", provider) }
