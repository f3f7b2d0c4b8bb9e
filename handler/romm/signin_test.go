// Signing a user in to RomM.

package romm

import (
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// A name that RomM accepts stays as it is, and no two names become the same.
func TestUsernameFor(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name, want := range map[string]string{ // a "+" stands for the suffix
		"alice": "alice", "Erin_Upper": "erin_upper", "Jörg": "jorg", "Jürg": "jurg", "ann_lee": "ann_lee", "x-1": "x-1", "Åsa": "asa",
		"ann.lee": "ann_lee+", "ann lee": "ann_lee+", "a@b.c": "a_b_c+", "иван": "user+", "олег": "user+", "佐藤": "user+", "鈴木": "user+",
		"é": "e+", "ab": "ab+", "ab_": "ab_", "straße": "stra_e+", "_": "user+", "": "user+", strings.Repeat("a", 65): strings.Repeat("a", 55) + "+",
	} {
		identity := &flow.Identity{Issuer: testIssuer, Subject: "subject of " + name, Username: name}
		got := usernameFor(identity)
		prefix, suffix := want, ""
		if p, ok := strings.CutSuffix(want, "+"); ok {
			prefix, suffix = p, strings.TrimPrefix(got, p)
			if len(suffix) != 9 || suffix[0] != '-' {
				t.Errorf("usernameFor(%q) = %q, want %q and a suffix of 9 characters", name, got, p)
			}
		}
		if got != prefix+suffix || got != usernameFor(identity) {
			t.Errorf("usernameFor(%q) = %q, want %q every time", name, got, want)
		}
		if first, ok := seen[got]; ok {
			t.Errorf("usernameFor(%q) = %q, which is also that of %q", name, got, first)
		}
		seen[got] = name
	}
}
