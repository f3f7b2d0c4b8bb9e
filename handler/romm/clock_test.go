// A sign-in that RomM refuses because of its clock.

package romm

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

func TestClockOfRomM(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	app := New(Config{Now: func() time.Time { return now }, Release: NewReleaseCache()})
	for name, c := range map[string]struct {
		date string
		want string // in the hint
	}{
		"ahead":    {now.Add(5 * time.Minute).Format(http.TimeFormat), "RomM's clock is 5m0s ahead of Caddy's"},
		"behind":   {now.Add(-3 * time.Minute).Format(http.TimeFormat), "RomM's clock is 3m0s behind Caddy's"},
		"right":    {now.Format(http.TimeFormat), "user name and another e-mail address"},
		"no Date":  {"", "user name and another e-mail address"},
		"nonsense": {"soon", "user name and another e-mail address"},
	} {
		answer := &application.Answer{Status: http.StatusBadRequest, Header: http.Header{"Date": {c.date}}}
		refused := problem.Of(app.refusal("GET /api/oauth/openid", answer, "code"))
		if refused.Code != errRefused.Code || !strings.Contains(refused.Hint, c.want) {
			t.Errorf("%s: hint %q, want one with %q", name, refused.Hint, c.want)
		}
	}
}
