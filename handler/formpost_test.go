// Responses of the provider that come in a form.

package handler

import (
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// A provider that is set to form_post posts its response from its own site. Nothing
// comes of it, whatever it holds, and the page says what to set.
func TestPostedResponse(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, path := range []string{request.Base, request.Base + "?code=x&state=y"} {
		w := s.do(t, "POST "+path, "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://auth.example.com",
			"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", "text/html")
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" || !strings.Contains(w.Body.String(), "Set response_mode to query") {
			t.Errorf("POST %s: got %d %v %s, want 405 and what to set", path, w.Code, w.Header(), w.Body)
		}
		if set := w.Header()["Set-Cookie"]; len(set) > 0 {
			t.Errorf("POST %s set %q, want no cookie", path, set)
		}
	}
	if w := s.do(t, "POST "+request.Base+"/failed"); strings.Contains(w.Body.String(), "response_mode") {
		t.Errorf("POST of another endpoint: %s, want no word of response_mode", w.Body)
	}
}
