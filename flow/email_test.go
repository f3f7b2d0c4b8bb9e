// E-mail addresses that must, and must not, count as the same.

package flow

import "testing"

func TestEqualFoldASCII(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b string
		want bool
	}{
		"same":                        {"alice@example.com", "alice@example.com", true},
		"other case":                  {"Alice@Example.COM", "alice@example.com", true},
		"other address":               {"alice@example.com", "alice@example.org", false},
		"Kelvin sign for k":           {"\u212aate@example.com", "kate@example.com", false},
		"long s for s":                {"bo\u017fs@example.com", "boss@example.com", false},
		"same, but not ASCII":         {"j\u00f6rg@example.com", "j\u00f6rg@example.com", false},
		"other case of a non-ASCII ö": {"j\u00f6rg@example.com", "J\u00d6RG@example.com", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := EqualFoldASCII(c.a, c.b); got != c.want {
				t.Errorf("EqualFoldASCII(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
			}
		})
	}
}
