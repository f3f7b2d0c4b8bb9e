// Tests of how many logins a browser keeps.

package flow

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Cookies are bounded by their bytes: the latest twenty are kept, more of them
// while they are small, and fewer if their pages have long addresses.
func TestLoginsAreBoundedByBytes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		page        string
		least, most int // logins kept of 60
		bytes       int
	}{
		"the home page":       {"/", 20, 30, CookiesLimit},
		"a page with a query": {"/rom/1234?tab=saves", 20, 30, CookiesLimit},
		"a long search":       {"/search?q=" + strings.Repeat("a", 1000), 3, 19, CookiesLimit},
		"the longest page":    {"/?" + strings.Repeat("a", returnToLimit-2), 1, 2, 8 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			var kept []*http.Cookie
			for range 60 {
				next := h.cookie(h.newLogin(c.page))
				surplus := SurplusLogins(testPrefix, kept, len(next.Name)+len(next.Value))
				kept = slices.DeleteFunc(kept, func(old *http.Cookie) bool { return slices.Contains(surplus, old.Name) })
				kept = append(kept, next)
			}
			bytes := 0
			for _, cookie := range kept {
				bytes += len(cookie.Name) + len(cookie.Value)
			}
			if len(kept) < c.least || len(kept) > c.most || bytes > c.bytes {
				t.Errorf("%d logins of %d bytes are kept, want %d to %d of at most %d", len(kept), bytes, c.least, c.most, c.bytes)
			}
		})
	}
}
