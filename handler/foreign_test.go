// Requests that other sites cause in a signed-in user's browser.

package handler

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// A page on a sibling domain sends requests that carry the ticket. It must not show
// the application in a frame, where the user could be tricked into clicks
// (clickjacking), or load its responses as images or scripts. Links from other
// sites work, and the application may frame itself.
func TestForeignFrame(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	for name, c := range map[string]struct {
		target, fields string
		passes         bool
	}{
		"frame by a sibling":        {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe Sec-Fetch-Site=same-site", false},
		"frame by another site":     {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe Sec-Fetch-Site=cross-site", false},
		"frame in a frameset":       {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=frame Sec-Fetch-Site=same-site", false},
		"fenced frame":              {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=fencedframe Sec-Fetch-Site=same-site", false},
		"embed":                     {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=embed Sec-Fetch-Site=same-site", false},
		"object":                    {"/", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=object Sec-Fetch-Site=same-site", false},
		"frame of an open path":     {"/open", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe Sec-Fetch-Site=same-site", false},
		"frame by the application":  {"/", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe Sec-Fetch-Site=same-origin", true},
		"script by a sibling":       {"/api/x", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=script Sec-Fetch-Site=same-site", false},
		"image by a sibling":        {"/api/x", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image Sec-Fetch-Site=same-site", false},
		"beacon by a sibling":       {"/api/x", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=empty Sec-Fetch-Site=same-site", false},
		"image of an open path":     {"/open", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image Sec-Fetch-Site=same-site", true},
		"image by the application":  {"/x.png", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image Sec-Fetch-Site=same-origin", true},
		"link on a sibling":         {"/rom/7", navigation + " Sec-Fetch-Site=same-site", true},
		"link on another site":      {"/api/x", navigation + " Sec-Fetch-Site=cross-site", true},
		"bookmark":                  {"/rom/7", navigation + " Sec-Fetch-Site=none", true},
		"browser without Sec-Fetch": {"/rom/7", "Accept=text/html", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.do(t, c.target, append(fields(c.fields), "Cookie", ticket)...)
			switch {
			case c.passes && (w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") != request.FrameAncestors):
				t.Errorf("got %d %v, want 200 with the frame-ancestors policy", w.Code, w.Header())
			case !c.passes && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "cross_origin")):
				t.Errorf("got %d %s, want 403 cross_origin", w.Code, w.Body)
			}
		})
	}
	s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if got := s.do(t, "/", "Cookie", ticket).Header()["Content-Security-Policy"]; !slices.Equal(got, []string{"default-src 'self'", request.FrameAncestors}) {
		t.Errorf("Content-Security-Policy is %q, want the application's and frame-ancestors", got)
	}
	if got := s.do(t, "/open").Header()["Content-Security-Policy"]; len(got) != 1 {
		t.Errorf("open path: Content-Security-Policy is %q, want frame-ancestors alone", got)
	}
}

func TestForeignOriginIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	for name, c := range map[string]string{
		"fetch by another site":             "GET Origin=https://evil.com",
		"fetch by a sibling":                "GET Origin=https://x.example.com Sec-Fetch-Site=same-site",
		"form on another site":              "POST Origin=https://evil.com",
		"socket of another site":            "GET Connection=Upgrade Upgrade=websocket Origin=https://evil.com",
		"socket of another site, no Origin": "GET Connection=Upgrade Upgrade=websocket Sec-Fetch-Site=cross-site",
	} {
		method, rest, _ := strings.Cut(c, " ")
		if w := s.do(t, method+" /api/x", append(fields(rest), "Cookie", ticket)...); w.Code != http.StatusForbidden {
			t.Errorf("%s: got %d, want 403", name, w.Code)
		}
	}
	if len(s.seen) != 0 {
		t.Errorf("%d requests reached the application, want 0", len(s.seen))
	}
}
