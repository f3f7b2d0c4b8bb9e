// Names that RomM's sessions may still hold.

package romm

import (
	"testing"
	"testing/synctest"
	"time"
)

// A name is reserved while an account has it, however long, and for 30 days after
// that. Its own user may always have it.
func TestReservedNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		links, _ := linked(t)
		ada, bob := &Link{Issuer: testIssuer, Subject: "ada-1"}, &Link{Issuer: testIssuer, Subject: "bob-1"}
		check := func(when, name string, link *Link, want bool) {
			t.Helper()
			if is, err := links.reserved(t.Context(), link, name); is != want || err != nil {
				t.Errorf("%s: %s is reserved for others than %s = %v, %v, want %v", when, name, link.Subject, is, err, want)
			}
		}
		check("before a rename", "ada", bob, true)
		check("before a rename", "grace", bob, false)
		time.Sleep(2 * nameReserved)
		check("long after the last sign-in", "Ada", bob, true)
		for _, name := range []string{"grace", "ada3"} {
			if err := links.refresh(t.Context(), &account{ID: 7, Username: name}); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"ada", "grace", "ada3"} {
			check("after two renames", name, bob, true)
			check("after two renames", name, ada, false)
		}
		if _, err := links.Forget(t.Context(), "ada3"); err != nil {
			t.Fatal(err)
		}
		check("after links forget", "ada3", bob, true)
		time.Sleep(nameReserved)
		for _, name := range []string{"ada", "grace", "ada3"} {
			check("30 days later", name, bob, false)
		}
	})
}

// Two accounts that had a name one after the other both keep it reserved.
func TestReservedNameOfTwo(t *testing.T) {
	t.Parallel()
	links, _ := linked(t)
	for _, rename := range []account{{ID: 7, Username: "grace"}, {ID: 7, Username: "ada"}, {ID: 8, Username: "grace"}} {
		if err := links.refresh(t.Context(), &rename); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range []string{"ada-1", "bob-1", "carol-1"} {
		if is, err := links.reserved(t.Context(), &Link{Issuer: testIssuer, Subject: subject}, "grace"); !is || err != nil {
			t.Errorf("grace is reserved for others than %s = %v, %v, want true", subject, is, err)
		}
	}
}
