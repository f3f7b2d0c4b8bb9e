// A user of the soak, in one browser.

package nodes

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// player is a user with a browser.
type player struct {
	*soak
	browser *browser
	dice    dice
	name    string
	account string       // in RomM
	node    atomic.Int64 // which the load balancer sends them to
	out     atomic.Bool  // the session is lost
	number  int          // of the last save
	saves   map[string]time.Time

	mu    sync.Mutex
	known map[process]bool // processes that have the session in memory
}

// process is a process that has answered with a ticket.
type process struct {
	store  *session.Store
	ticket string
}

// ticketCookie is the name of the cookie with the ticket.
var ticketCookie = "__Host-romm_oidc"

// play is what the user does until the time is over.
func (p *player) play() {
	for time.Now().Before(p.until) {
		time.Sleep(time.Duration(500+p.dice.roll(15000)) * time.Millisecond)
		if p.dice.roll(6) == 0 {
			p.node.Store(int64(p.dice.roll(3)))
		}
		switch p.dice.roll(20) {
		case 0, 1, 2, 3, 4, 5:
			p.save()
		case 6, 7, 8:
			p.page("/")
		case 9:
			p.send(http.MethodGet, "/api/heartbeat", "")
		case 10:
			p.send(http.MethodGet, "/api/roms/1/content/demo.nes", "")
		case 11:
			var page sync.WaitGroup
			for range 6 {
				page.Go(func() { p.send(http.MethodGet, "/api/roms", "") })
			}
			page.Wait()
		case 12:
			if p.dice.roll(4) == 0 {
				p.send(http.MethodPost, "/api/logout", "")
				p.signIn()
			}
		case 13:
			time.Sleep(time.Duration(p.dice.roll(8)) * time.Minute) // away
		default:
			p.send(http.MethodGet, "/api/users/me", "")
		}
		p.comeBack()
	}
}

// comeBack signs in again if the session is lost.
func (p *player) comeBack() {
	if p.out.Load() {
		p.signIn()
	}
}

// cookie returns the value of a cookie of the site, empty if there is none.
func (b *browser) cookie(name string) string {
	for _, cookie := range b.jar.Cookies(&url.URL{Scheme: "https", Host: "romm.example.com", Path: "/"}) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// send sends a request of RomM's page to a node that takes it, and counts what
// comes. It returns the status, 0 if no node answered, and when to try again.
func (p *player) send(method, target, body string) (status int, again time.Duration) {
	for range len(p.nodes) {
		began, n, fields := time.Now(), p.at(int(p.node.Load())), script
		if body != "" || method != http.MethodGet {
			fields = append([]string{"Origin", public, "Content-Type", "application/octet-stream", "X-Csrftoken", p.browser.cookie("romm_csrftoken")}, script...)
		}
		at := process{n.store, p.browser.cookie(ticketCookie)}
		answer, text := p.browser.send(int(p.node.Load()), method, target, body, fields...)
		if status = answer.StatusCode; status == 0 {
			p.node.Store((p.node.Load() + 1) % int64(len(p.nodes)))
			if body != "" {
				return 0, time.Second // the node may have passed it on
			}
			continue
		}
		p.verdict(at, began, method+" "+target, status, text)
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		return status, time.Duration(seconds) * time.Second
	}
	return 0, time.Second
}

// verdict counts the answer to a request of a signed-in user.
func (p *player) verdict(at process, began time.Time, what string, status int, text string) {
	away, name := p.around(began)
	p.count(began, func(f *figures) { f.requests++ })
	p.mu.Lock()
	known := p.known[at]
	if status/100 == 2 {
		p.known[at] = true
	}
	p.mu.Unlock()
	need := needsRomM
	if !known {
		need |= needsStorage
	}
	switch {
	case status < 400:
		return
	case strings.Contains(text, "signed_in_again"), strings.Contains(text, "check_pending"): // the page tries again
		p.count(began, func(f *figures) { f.again++ })
		return
	case status >= 500 && away&need != 0,
		away&needsStorage != 0 && strings.Contains(text, "storage_unavailable"),                      // a sign-in to RomM reads the user's link
		away&(needsClock|needsKeys) != 0 && (status >= 500 || strings.Contains(text, "has changed")): // RomM does not accept what the gate signs
		p.count(began, func(f *figures) { f.excused++ })
		return
	}
	p.note("REFUSED %s at node %d (known %v): %s is %d %.120q, fault: %s", p.name, int(p.node.Load()), known, what, status, text, name)
	p.count(began, func(f *figures) { f.refused++ })
	if status == http.StatusUnauthorized {
		if !p.out.Swap(true) {
			p.count(began, func(f *figures) { f.lost++ })
		}
	}
}

// save is a saved game. The page sends it again when it is told so.
func (p *player) save() {
	p.number++
	content, began := fmt.Sprintf("%s-%d", p.name, p.number), time.Now()
	if p.saves == nil {
		p.saves = map[string]time.Time{}
	}
	p.saves[content] = began
	p.count(began, func(f *figures) { f.writes++ })
	for {
		status, again := p.send(http.MethodPost, "/api/saves", content)
		switch {
		case status/100 == 2:
			return
		case (status == 0 || again == 0) && p.stored(content): // an answer got lost behind the gate, or before it
			return
		}
		if quiet := p.quiet(); !quiet.IsZero() && time.Since(quiet) > bound && time.Since(began) > bound {
			return // it counts as lost
		}
		p.comeBack()
		time.Sleep(max(again, time.Second))
	}
}

func (p *player) stored(content string) bool {
	return slices.Contains(p.romm.Saves(), [2]string{p.account, content})
}

// page opens a page, by way of the provider if the gate says so.
func (p *player) page(target string) {
	for range len(p.nodes) {
		began, n := time.Now(), p.at(int(p.node.Load()))
		at := process{n.store, p.browser.cookie(ticketCookie)}
		answer, text := p.browser.send(int(p.node.Load()), http.MethodGet, target, "", navigation...)
		switch {
		case answer.StatusCode == 0:
			p.node.Store((p.node.Load() + 1) % int64(len(p.nodes)))
			continue
		case answer.StatusCode != http.StatusFound && answer.StatusCode != http.StatusSeeOther:
			p.verdict(at, began, "page "+target, answer.StatusCode, text)
			return
		}
		if status, _ := p.send(http.MethodGet, "/api/users/me", ""); status == http.StatusUnauthorized {
			return // counted
		}
		p.count(began, func(f *figures) { f.requests++ })
		p.follow(answer.Header.Get("Location"))
		return
	}
}

// follow goes to the provider and comes back, to the page and its first
// request. It returns the status of the callback, or of its page of an error.
func (p *player) follow(location string) int {
	back, err := p.authelia.SignIn(p.browser.portal, location, p.name, p.name+"-password")
	if err != nil {
		return 0 // the browser shows the provider's error
	}
	u, err := url.Parse(back)
	if err != nil {
		p.Errorf("the provider sends the browser to %q", back)
		return 0
	}
	for range len(p.nodes) {
		answer, _ := p.browser.send(int(p.node.Load()), http.MethodGet, u.RequestURI(), "", navigation...)
		switch {
		case strings.HasPrefix(answer.Header.Get("Location"), request.Base+"/failed"):
			answer, _ = p.browser.send(int(p.node.Load()), http.MethodGet, answer.Header.Get("Location"), "", navigation...)
			return answer.StatusCode
		case answer.StatusCode == http.StatusSeeOther:
			for range 60 { // the page begins with it, and it brings the CSRF token
				if status, _ := p.send(http.MethodGet, "/api/heartbeat", ""); status/100 == 2 {
					break
				}
				time.Sleep(time.Second)
			}
		}
		if answer.StatusCode != 0 {
			return answer.StatusCode
		}
		p.node.Store((p.node.Load() + 1) % int64(len(p.nodes)))
	}
	return 0
}

// signIn signs the user in, as soon as that is possible.
func (p *player) signIn() {
	p.out.Store(false)
	for {
		began := time.Now()
		answer, text := p.browser.send(int(p.node.Load()), http.MethodGet, request.Base+"/login", "", navigation...)
		status := answer.StatusCode
		if status == http.StatusFound {
			status = p.follow(answer.Header.Get("Location"))
		}
		if status == http.StatusSeeOther {
			break
		}
		away, name := p.around(began)
		if status != 0 && away == 0 {
			p.note("REFUSED %s at node %d: sign-in is %d %.120q, fault: %s", p.name, int(p.node.Load()), status, text, name)
			p.count(began, func(f *figures) { f.refused++ })
		}
		p.node.Store((p.node.Load() + 1) % int64(len(p.nodes)))
		time.Sleep(2 * time.Second)
		if quiet := p.quiet(); !quiet.IsZero() && time.Since(quiet) > 5*time.Minute {
			p.Errorf("%s cannot sign in: %d", p.name, status)
			return
		}
	}
	if p.account == "" {
		me, _ := p.browser.whoIs(int(p.node.Load()))
		p.account = me.Username
	}
}

// settle checks that the user is signed in at the end, at every node.
func (p *player) settle() {
	for i := range p.nodes {
		p.node.Store(int64(i))
		if status, _ := p.send(http.MethodGet, "/api/users/me", ""); status != http.StatusOK {
			p.Errorf("at the end, %s is answered %d at node %d", p.name, status, i)
		}
	}
	maps.DeleteFunc(p.known, func(process, bool) bool { return true })
}
