// Signing a user in to RomM.

package romm

import "testing"

func TestUsernameFor(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"alice": "alice", "Erin.Upper": "erin_upper", "é": "___", "a@b.c": "a_b_c"} {
		if got := usernameFor(name); got != want {
			t.Errorf("usernameFor(%q) = %q, want %q", name, got, want)
		}
	}
}
