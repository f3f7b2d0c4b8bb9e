// The setting for clients without a browser, and the App that the tests share.

package romm

import (
	"maps"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

const (
	someToken    = "Bearer rmm_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	somePassword = "Basic YWxpY2U6c2VjcmV0"
	someJWT      = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJyb21tOm9hdXRoIn0.c2ln"
)

// appOf returns RomM of a release, empty for an unknown one, that lets in the
// clients of presets.
func appOf(tb testing.TB, release string, presets ...string) *App {
	tb.Helper()
	clients, err := ParseClients(presets)
	if err != nil {
		tb.Fatal(err)
	}
	storage := keyringtest.New()
	links := NewLinks(testGate, func() keyring.Storage { return storage })
	app := New(Config{Release: NewReleaseCache(), Clients: clients, Links: links})
	if release != "" {
		beat := &heartbeat{at: time.Now()}
		beat.System.Version = release
		beat.release, _ = parseVersion(release)
		app.config.Release.heartbeat.Store(beat)
	}
	return app
}

func TestParseClients(t *testing.T) {
	t.Parallel()
	if clients, err := ParseClients([]string{"feeds", "covers"}); err != nil || !maps.Equal(clients, Clients{ClientsFeeds: true, ClientsCovers: true}) {
		t.Errorf("ParseClients of two words = %v, %v, want both", clients, err)
	}
	if _, err := ParseClients([]string{"feeds", "covers", "feeds"}); err == nil || err.Error() != "feeds is given twice" {
		t.Errorf("ParseClients of a repeated word: error %v, want it to say so", err)
	}
	if _, err := ParseClients([]string{"feeds", "everything"}); err == nil || err.Error() != `"everything" is not known: there are [password bearer feeds downloads covers]` {
		t.Errorf("ParseClients of an unknown word: error %v, want it to list the known words", err)
	}
}
