// Work that no request waits for: its failures are counted, logged and shown.

package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A provider that does not answer re-checks leaves one warning that says what
// it means, a counter, a gauge and a line in the status, and one line when it
// answers again.
func TestFailingRechecksAreSeen(t *testing.T) {
	site, within, management := address(t), address(t), address(t)
	p := &process{stack: &stack{t: t, origin: "http://localhost:" + port(site), storage: t.TempDir()}}
	p.standIns(users, within)
	p.configure(management, "127.0.0.1", within, "session {\n recheck 100ms\n}\n")
	p.Run()
	alice := p.as("alice")
	get := func(path string) string {
		t.Helper()
		return p.browser().do("http://" + management + path).body
	}
	p.authelia.Misbehave(func(m *authelia.Misbehaviour) { m.Fail("userinfo", authelia.Fault{Status: http.StatusBadGateway}) })
	const failing, again = "re-checks fail: users who are disabled", "re-checks work again"
	eventually(t, func() bool {
		if !alice.in() {
			t.Fatal("alice is out although the provider only does not answer")
		}
		return len(p.Logged(failing)) == 1
	})
	metrics := get("/metrics")
	for _, want := range []string{
		`caddy_romm_oidc_background_total{outcome="failed",work="recheck"} 1`, `caddy_romm_oidc_background_waiting{work="recheck"} 1`,
		`caddy_romm_oidc_background_waiting{work="tombstone"} 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(metrics, "alice") {
		t.Error("the metrics contain the user's name")
	}
	if status := get(admin.StatusPath); !strings.Contains(status, `{"work":"recheck","failing_since":"`) || !strings.Contains(status, `"waiting":1}`) {
		t.Errorf("the status does not say that re-checks fail: %s", status)
	}
	p.authelia.Misbehave(func(m *authelia.Misbehaviour) { *m = authelia.Misbehaviour{} })
	bob := p.as("bob")
	eventually(t, func() bool { return bob.in() && len(p.Logged(again)) == 1 })
	if lines := p.Logged(failing); len(lines) != 1 {
		t.Errorf("the log has %d warnings, want one", len(lines))
	}
	if status := get(admin.StatusPath); strings.Contains(status, "failing_since") {
		t.Errorf("the status still says that work fails: %s", status)
	}
}
