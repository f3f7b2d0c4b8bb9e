// Requests that other sites cause in a signed-in user's browser.

package handler

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// A page beside ours, whose requests carry the ticket, neither shows the
// application in a frame of its own, to have the visitor click what they do
// not see (clickjacking), nor takes its answers as images or scripts. Links
// lead in from everywhere, and the application frames itself.
func TestForeignFrame(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
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
			w := s.do(t, c.target, append(fields(c.fields), "Cookie", ticket)...)
			switch {
			case c.passes && (w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") != request.FrameAncestors):
				t.Errorf("%d %v", w.Code, w.Header())
			case !c.passes && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "cross_origin")):
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if got := s.do(t, "/", "Cookie", ticket).Header()["Content-Security-Policy"]; !slices.Equal(got, []string{"default-src 'self'", request.FrameAncestors}) {
		t.Errorf("beside the application's own: %q", got)
	}
	if got := s.do(t, "/open").Header()["Content-Security-Policy"]; len(got) != 1 {
		t.Errorf("what is nobody's: %q", got)
	}
}

func TestForeignOriginIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	for name, c := range map[string]string{
		"fetch":           "GET Origin=https://evil.com",
		"sibling":         "GET Origin=https://x.example.com Sec-Fetch-Site=same-site",
		"form":            "POST Origin=https://evil.com",
		"socket":          "GET Connection=Upgrade Upgrade=websocket Origin=https://evil.com",
		"socket, no word": "GET Connection=Upgrade Upgrade=websocket Sec-Fetch-Site=cross-site",
	} {
		method, rest, _ := strings.Cut(c, " ")
		if w := s.do(t, method+" /api/x", append(fields(rest), "Cookie", ticket)...); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if len(s.seen) != 0 {
		t.Errorf("%d passed", len(s.seen))
	}
}
