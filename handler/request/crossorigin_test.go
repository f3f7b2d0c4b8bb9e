// Requests that pages of other origins cause.

package request

import (
	"net/http"
	"net/http/httptest"
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
		"POST without Origin, sibling":    {"POST", "", "same-site", false, true},
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
			if got := CrossOrigin(r, ours, c.socket); got != c.want {
				t.Errorf("CrossOrigin = %v, want %v", got, c.want)
			}
		})
	}
	t.Run("two Origins", func(t *testing.T) {
		t.Parallel()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Origin"] = []string{ours, "https://evil.com"}
		if !CrossOrigin(r, ours, false) {
			t.Error("CrossOrigin with a second, foreign Origin = false, want true")
		}
	})
}
