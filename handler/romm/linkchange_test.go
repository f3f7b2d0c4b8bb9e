// Whom an operator's command means.

package romm

import (
	"testing"
)

// Users choose their e-mail address in RomM. One that is another account's user name
// does not make the operator's commands ambiguous.
func TestAddressThatIsAnotherUserName(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(links *Links) (Link, error){
		"trust": func(links *Links) (Link, error) { return links.Trust(t.Context(), "ada") },
		"move": func(links *Links) (Link, error) {
			link, _, err := links.Move(t.Context(), "ada", "ada-2")
			return link, err
		},
		"forget": func(links *Links) (Link, error) {
			forgotten, err := links.Forget(t.Context(), "ada")
			if err != nil {
				return Link{}, err
			}
			return forgotten[0], nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			links, _ := linked(t)
			if err := links.pin(t.Context(), Link{Issuer: testIssuer, Subject: "mallory-1", ID: 9, Username: "mallory", Email: "ADA"}); err != nil {
				t.Fatal(err)
			}
			if link, err := change(links); err != nil || link.ID != 7 {
				t.Errorf("got the link of account %d, %v, want 7", link.ID, err)
			}
		})
	}
}
