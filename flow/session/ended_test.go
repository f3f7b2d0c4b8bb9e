// Ends are reported once, by the node that brings them about.

package session

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// A session that ends is reported by one node, once, whether the node has it
// in memory or not, and however often the end is asked for. The node that
// follows reports nothing.
func TestOwnEnds(t *testing.T) {
	t.Parallel()
	storage := newFakeStorage()
	first, second := newTestStore(storage), newTestStore(storage)
	var here, there []string
	collect := func(all *[]string) func(context.Context, End) {
		return func(_ context.Context, end End) {
			user := "unknown"
			if end.Head != nil {
				user = end.Head.User
			}
			*all = append(*all, user+" "+end.Reason)
		}
	}
	first.OnOwnEnd(collect(&here))
	second.OnOwnEnd(collect(&there))
	_, ada := create(t, first, "ada")
	_, bob := create(t, second, "bob") // only the second has it in memory
	create(t, second, "eve")           // as bob's, and ended with all others
	for range 2 {
		if err := errors.Join(first.End(t.Context(), ada.ID(), "signed_out"), first.End(t.Context(), bob.ID(), "operator"), second.followEnds(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := first.EndAll(t.Context(), "operator"); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.End(t.Context(), ID{1}, "operator"); err != nil { // no such session
		t.Fatal(err)
	}
	if err := second.followEnds(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"ada signed_out", "bob operator", "eve operator"}; !slices.Equal(here, want) || there != nil {
		t.Errorf("this node reported %q and the other one %q, want %q and none", here, there, want)
	}
}
