// A drill: what goes wrong is told apart by the metrics and the audit log alone.

package tests

import (
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// signals are the gauges of what is away, and whether two codes that say so were
// counted.
func (s *stack) signals() map[string]bool {
	s.t.Helper()
	text, signals := s.metrics(), map[string]bool{}
	for signal, series := range map[string]string{
		"provider": "caddy_romm_oidc_provider_away", "storage": "caddy_romm_oidc_storage_away", "keys": "caddy_romm_oidc_keys_unusable",
		"RomM": `caddy_romm_oidc_refusals_total{code="application_away"}`, "locked out": `caddy_romm_oidc_sign_ins_total{outcome="not_allowed"}`,
	} {
		if value(s.t, text, series) > s.before[series] {
			signals[signal] = true
		}
	}
	return signals
}

// Each kind of failure has its own signal, and shows no other.
func TestDrill(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(s *stack)
		try  func(s *stack, alice *browser) // what users do meanwhile
		want string
	}{
		"the provider is down": {
			fail: func(s *stack) { s.authelia.Down() },
			try:  func(_ *stack, alice *browser) { alice.in() }, // its re-check asks the provider
			want: "provider",
		},
		"the storage takes nothing": {
			fail: func(s *stack) {
				locks := filepath.Join(s.storage, "locks")
				if err := errors.Join(os.RemoveAll(locks), os.WriteFile(locks, nil, 0o600)); err != nil {
					s.t.Fatal(err)
				}
			},
			try:  func(s *stack, _ *browser) { s.health("") },
			want: "storage",
		},
		"RomM is down": {
			fail: func(s *stack) { s.romm.Down() },
			try:  func(_ *stack, alice *browser) { alice.fetch("/api/roms") },
			want: "RomM",
		},
		"the keys cannot be used": {
			fail: func(s *stack) {
				keyrings, _ := filepath.Glob(filepath.Join(s.storage, "romm_oidc", "*", "keyring.json"))
				if err := os.WriteFile(keyrings[0], []byte(`{"version":99}`), 0o600); err != nil {
					s.t.Fatal(err)
				}
			},
			try:  func(s *stack, _ *browser) { s.health("") },
			want: "keys",
		},
		"a user is locked out": {
			fail: func(*stack) {},
			try: func(s *stack, _ *browser) {
				if answer := s.browser().signIn("/", "carol"); answer.StatusCode != http.StatusForbidden {
					s.t.Errorf("carol's sign-in answered %d, want 403", answer.StatusCode)
				}
			},
			want: "locked out",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{
				directive: rolesByMail + recheckSoon + "allow {\n emails alice@example.com\n}\n",
			})
			alice := s.as("alice")
			s.before = map[string]float64{}
			for _, series := range []string{`caddy_romm_oidc_refusals_total{code="application_away"}`, `caddy_romm_oidc_sign_ins_total{outcome="not_allowed"}`} {
				s.before[series] = value(t, s.metrics(), series)
			}
			if signals := s.signals(); len(signals) > 0 {
				t.Fatalf("before, the metrics show %v, want nothing", signals)
			}
			c.fail(s)
			var signals map[string]bool
			eventually(t, func() bool {
				c.try(s, alice)
				signals = s.signals()
				return signals[c.want]
			})
			if !maps.Equal(signals, map[string]bool{c.want: true}) {
				t.Errorf("the metrics show %v, want only %s", signals, c.want)
			}
		})
	}
}
