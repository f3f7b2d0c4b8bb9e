package handler

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	const ours = "https://romm.example.com"
	for name, c := range map[string]struct {
		method, origin, site string
		socket               bool
		want                 bool
	}{
		"plain GET":                       {"GET", "", "", false, false},
		"link from another site":          {"GET", "", "cross-site", false, false},
		"our own fetch":                   {"GET", ours, "same-origin", false, false},
		"foreign Origin reads nothing":    {"GET", "https://evil.com", "cross-site", false, true},
		"sibling subdomain reads nothing": {"GET", "https://x.example.com", "same-site", false, true},
		"opaque Origin":                   {"GET", "null", "", false, true},
		"another port":                    {"GET", ours + ":8443", "", false, true},
		"another scheme":                  {"GET", "http://romm.example.com", "", false, true},
		"another case is not a browser":   {"GET", "https://ROMM.example.com", "", false, true},
		"our own POST":                    {"POST", ours, "same-origin", false, false},
		"foreign POST":                    {"POST", "https://evil.com", "cross-site", false, true},
		"POST without Origin from beside": {"POST", "", "same-site", false, true},
		"POST without any hint":           {"POST", "", "", false, false},
		"socket, ours":                    {"GET", ours, "", true, false},
		"socket, foreign":                 {"GET", "https://evil.com", "", true, true},
		"socket without Origin, foreign":  {"GET", "", "cross-site", true, true},
		"polling from a sibling":          {"GET", "", "same-site", true, true},
		"socket without any hint":         {"GET", "", "", true, false},
		"HEAD, foreign":                   {"HEAD", "https://evil.com", "", false, true},
		"DELETE from a sibling":           {"DELETE", "https://x.example.com", "same-site", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(c.method, "/", nil)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if c.site != "" {
				r.Header.Set("Sec-Fetch-Site", c.site)
			}
			if got := crossOrigin(r, ours, c.socket); got != c.want {
				t.Errorf("crossOrigin = %v", got)
			}
		})
	}
	t.Run("two Origins", func(t *testing.T) {
		t.Parallel()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Origin"] = []string{ours, "https://evil.com"}
		if !crossOrigin(r, ours, false) {
			t.Error("a second Origin was not looked at")
		}
	})
}

// A page beside ours, whose requests carry the ticket, neither shows the
// application in a frame of its own, to have the visitor click what they do
// not see (clickjacking), nor takes its answers as images or scripts. Links
// lead in from everywhere, and the application frames itself.
func TestForeignFrame(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ticket := f.ticket(t, alice)
	for name, c := range map[string]struct {
		target, fields string
		passes         bool
	}{
		"frame of a sibling":           {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe Sec-Fetch-Site=same-site", false},
		"frame of another site":        {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe Sec-Fetch-Site=cross-site", false},
		"frame in a frameset":          {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=frame Sec-Fetch-Site=same-site", false},
		"fenced frame":                 {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=fencedframe Sec-Fetch-Site=same-site", false},
		"embed":                        {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=embed Sec-Fetch-Site=same-site", false},
		"object":                       {"/", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=object Sec-Fetch-Site=same-site", false},
		"frame of what is open":        {"/open", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe Sec-Fetch-Site=same-site", false},
		"frame of our own":             {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe Sec-Fetch-Site=same-origin", true},
		"script of a sibling":          {"/api/x", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=script Sec-Fetch-Site=same-site", false},
		"image of a sibling":           {"/api/x", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image Sec-Fetch-Site=same-site", false},
		"beacon of a sibling":          {"/api/x", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=empty Sec-Fetch-Site=same-site", false},
		"image of what is open":        {"/open", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image Sec-Fetch-Site=same-site", true},
		"image of our own":             {"/x.png", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image Sec-Fetch-Site=same-origin", true},
		"link of a sibling":            {"/rom/7", navigation + " Sec-Fetch-Site=same-site", true},
		"link of another site":         {"/api/x", navigation + " Sec-Fetch-Site=cross-site", true},
		"bookmark":                     {"/rom/7", navigation + " Sec-Fetch-Site=none", true},
		"browser without Sec-Fetch-XY": {"/rom/7", "Accept=text/html", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := f.do(t, c.target, append(fields(c.fields), "Cookie", ticket)...)
			switch {
			case c.passes && (w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") != frameAncestors):
				t.Errorf("%d %v", w.Code, w.Header())
			case !c.passes && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "cross_origin")):
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	f.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if got := f.do(t, "/", "Cookie", ticket).Header()["Content-Security-Policy"]; !slices.Equal(got, []string{"default-src 'self'", frameAncestors}) {
		t.Errorf("beside the application's own: %q", got)
	}
	if got := f.do(t, "/open").Header()["Content-Security-Policy"]; len(got) != 1 {
		t.Errorf("what is nobody's: %q", got)
	}
}
