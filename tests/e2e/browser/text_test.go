// All texts of our own pages, in every language, on a narrow screen.

package browser

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// Each text fits a phone, also as a title, and with a provider that is named by its
// host.
func TestEveryTextFits(t *testing.T) {
	if mode != "" { // the pages are the same in the other modes
		return
	}
	content, err := os.ReadFile("../../../handler/problem/languages/de.json")
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]string
	if err := json.Unmarshal(content, &texts); err != nil {
		t.Fatal(err)
	}
	browser := shared(t)
	s := &stack{t: t, browser: browser}
	for _, language := range []string{"en", "de"} {
		s.origin = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Accept-Language", language)
			page := problem.Page{Status: http.StatusOK, Title: "Something went wrong", Provider: "authelia.internal.household-network.example.com", Site: "RomM"}
			for text := range texts {
				page.Links = append(page.Links, problem.Link{ID: "text", Label: text, Href: "/"})
			}
			page.Write(w, r)
		}))
		b := s.visitor()
		b.open("/")
		b.narrow()
		b.await(`document.documentElement.lang === ` + quote(language) + ` && innerWidth === 320`)
		wide := b.script(`JSON.stringify([...document.querySelectorAll(".way a")].filter(link => {
			const title = document.querySelector("h1")
			title.textContent = link.textContent
			return title.scrollWidth > title.clientWidth || link.scrollWidth > title.clientWidth
		}).map(link => link.textContent))`)
		if wide != "[]" || b.script(`document.documentElement.scrollWidth > innerWidth`) == "true" {
			b.t.Errorf("%s: on 320 px, these texts are wider than the page: %s", language, wide)
		}
	}
}
