// What a user does at the provider's portal.

package browser

// signIn enters user's password at the portal, and consents if the portal
// asks.
func (b *tab) signIn(user string) {
	b.t.Helper()
	b.submit(user, user+"-password")
	b.await(`!location.href.startsWith(` + quote(b.portal+"/?") + `)`)
	b.consent()
}

// signedIn opens target in the first tab of a new user, and signs in as alice.
func (s *stack) signedIn(target string) *tab {
	s.t.Helper()
	b := s.visitor()
	b.open(target)
	b.signIn("alice")
	b.in(target, "alice")
	return b
}

// submit enters a user name and a password at the portal.
func (b *tab) submit(user, password string) {
	b.t.Helper()
	b.atPortal()
	b.fill("username-textfield", user)
	b.fill("password-textfield", password)
	b.click("sign-in-button")
}

// atPortal waits for the portal's login form.
func (b *tab) atPortal() {
	b.t.Helper()
	b.await(`location.origin === ` + quote(b.portal) + ` && document.getElementById("sign-in-button")`)
}

// consent consents if the portal asks.
func (b *tab) consent() {
	b.t.Helper()
	b.await(`location.origin === ` + quote(b.origin) + ` || document.getElementById("openid-consent-accept")`)
	if b.script(`location.origin`) == b.portal {
		b.click("openid-consent-accept")
	}
}
