// Mistakes in what `caddy romm-oidc setup` wrote, one at a time: the doctor names
// each, and after its advice nothing is left.

package tests

import (
	"testing"
)

// mistake is a change of a file that setup wrote.
type mistake struct {
	file, old, new string
	code           string // of the doctor's finding
	known          bool   // only the operator knows the right value, so that the finding names the line alone
}

func TestMistakesAfterSetup(t *testing.T) {
	const caddy, env, rommEnv, client = "Caddyfile", ".env", "romm.env", "authelia-client.yml"
	const gateEnd, proxyEnd = "\t\t\tuser *\n\t\t}\n\t}\n", "\t\tstream_close_delay 1h\n\t}\n"
	in := install(t)
	healthy := in.healthy()
	for name, m := range map[string]mistake{
		// Caddy's side.
		"redirect_uri with a slash":        {caddy, "/api/oauth/openid\n", "/api/oauth/openid/\n", "config_refused", false},
		"redirect_uri of another path":     {caddy, "/api/oauth/openid\n", "/oauth2/callback\n", "config_refused", false},
		"issuer with a slash":              {caddy, "issuer " + in.autheliaURL, "issuer " + in.autheliaURL + "/", "authelia_issuer", false},
		"issuer with its metadata's path":  {caddy, "issuer " + in.autheliaURL, "issuer " + in.autheliaURL + "/.well-known/openid-configuration", "config_refused", false},
		"issuer without its scheme":        {caddy, "issuer http://", "issuer ", "config_refused", true},
		"issuer that is Caddy":             {caddy, "issuer " + in.autheliaURL, "issuer " + in.within + base, "config_issuer_is_site", true},
		"issuer of another port":           {caddy, "issuer " + in.autheliaURL, "issuer http://localhost:1", "authelia_unreachable", true},
		"issuer_address of another server": {caddy, "issuer " + in.autheliaURL, "issuer " + in.autheliaURL + "\n\t\tissuer_address http://127.0.0.1:1", "authelia_unreachable", true},
		"another client ID":                {caddy, "client_id romm", "client_id RomM", "authelia_client_id", true},
		"a word that is not known":         {caddy, "client_id romm", "client_ids romm", "config_refused", true},
		"commas between scopes":            {caddy, "openid profile email", "openid, profile, email", "config_refused", true},
		"a scope too many":                 {caddy, "openid profile email", "openid profile email groups", "authelia_scope", false},
		"offline_access":                   {caddy, "openid profile email", "openid profile email offline_access", "authelia_scope", false},
		"another client_auth":              {caddy, "scopes openid", "client_auth post\n\t\tscopes openid", "authelia_client_auth", false},
		"the secret as it is":              {caddy, "{env.OIDC_CLIENT_SECRET}", in.secret, "config_secret_literal", false},
		"the variable of another name":     {caddy, "{env.OIDC_CLIENT_SECRET}", "{env.ROMM_OIDC_UNSET}", "config_secret_unset", true},
		"a group without the scope":        {caddy, "admin alice@example.com", "admin romm-admins", "config_refused", true},
		"forward_auth too":                 {caddy, gateEnd, gateEnd + "\tforward_auth 127.0.0.1:9 {\n\t\turi /api/authz/forward-auth\n\t}\n", "config_forward_auth", false},
		"basic_auth too":                   {caddy, "\tromm_oidc {", "\tbasic_auth {\n\t\talice $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n\t}\n\tromm_oidc {", "config_basic_auth", false},
		"strip_prefix":                     {caddy, "\tromm_oidc {", "\turi strip_prefix /romm\n\tromm_oidc {", "config_path_stripped", false},
		"a rewrite":                        {caddy, "\tromm_oidc {", "\trewrite /romm{uri}\n\tromm_oidc {", "config_rewrite", false},
		"a Cookie header field":            {caddy, "\t\tstream_close_delay", "\t\theader_up Cookie x\n\t\tstream_close_delay", "config_cookie_header", false},
		"a stream timeout":                 {caddy, "\t\tstream_close_delay", "\t\tstream_timeout 1m\n\t\tstream_close_delay", "config_stream_timeout", false},
		"redirects that are handled":       {caddy, "\t\tstream_close_delay 1h\n", "\t\tstream_close_delay 1h\n\t\t@moved status 3xx\n\t\thandle_response @moved {\n\t\t\trespond moved\n\t\t}\n", "config_handle_response", false},
		"no reverse_proxy":                 {caddy, "reverse_proxy " + in.rommAddress + " {\n" + proxyEnd, "file_server\n", "config_no_proxy", true},
		"another port of RomM":             {caddy, "reverse_proxy " + in.rommAddress, "reverse_proxy 127.0.0.1:1", "romm_unreachable", true},
		"RomM at another site too":         {caddy, "# RomM finds its", "http://localhost:9 {\n\treverse_proxy " + in.rommAddress + "\n}\n\n# RomM finds its", "config_open_upstream", false},
		"a tls_ca that is not there":       {caddy, "scopes openid", "tls_ca /etc/ssl/none.pem\n\t\tscopes openid", "config_tls_ca", true},
		"trusted_proxies alone":            {caddy, "(romm) {", "{\n\tservers {\n\t\ttrusted_proxies static private_ranges\n\t}\n}\n(romm) {", "config_trusted_proxies", false},
		"the admin API off":                {caddy, "(romm) {", "{\n\tadmin off\n}\n(romm) {", "config_admin_off", false},
		"another secret":                   {env, "SECRET=" + in.secret, "SECRET=another", "authelia_client_secret", true},
		"the digest as the secret":         {env, "SECRET=" + in.secret, "SECRET=$pbkdf2-sha512$310000$abc$def", "config_secret_digest", true},
		"quotes that stay":                 {env, "SECRET=" + in.secret, `SECRET='"` + in.secret + `"'`, "config_secret_quoted", true},
		"no secret":                        {env, "OIDC_CLIENT_SECRET=" + in.secret, "", "config_secret_unset", true},
		// RomM's side.
		"RomM's sign-in is off":        {rommEnv, "OIDC_ENABLED=true", "OIDC_ENABLED=false", "romm_oidc_off", false},
		"RomM has another client ID":   {rommEnv, "OIDC_CLIENT_ID=romm", "OIDC_CLIENT_ID=RomM", "romm_client_id", false},
		"RomM's callback with a slash": {rommEnv, "/api/oauth/openid\n# This", "/api/oauth/openid/\n# This", "romm_redirect_uri", false},
		"RomM asks Authelia":           {rommEnv, in.within + base, in.autheliaURL, "romm_points_elsewhere", false},
		"RomM cannot reach Caddy":      {rommEnv, in.within + base, "http://127.0.0.1:1" + base, "romm_cannot_reach_caddy", false},
		"RomM has quotes":              {rommEnv, "SECRET=" + in.secret, `SECRET="` + in.secret + `"`, "romm_client_secret", false},
		"RomM has another secret":      {rommEnv, "SECRET=" + in.secret, "SECRET=another", "romm_client_secret", false},
		"RomM reads no roles":          {rommEnv, "OIDC_CLAIM_ROLES=romm_roles\n", "", "romm_roles_off", false},
		"RomM's cookies are Secure":    {rommEnv, "SECURE_COOKIE=false", "SECURE_COOKIE=true", "romm_cookie_secure", false},
		// Authelia's side.
		"Authelia has another client":      {client, "client_id: 'romm'", "client_id: 'RomM'", "authelia_client_id", true},
		"Authelia's callback with a slash": {client, "/api/oauth/openid'", "/api/oauth/openid/'", "authelia_redirect_uri", false},
		"Authelia allows too few scopes":   {client, "          - 'email'\n", "", "authelia_scope", true},
		"Authelia expects another method":  {client, "client_secret_basic", "client_secret_post", "authelia_client_auth", false},
		"Authelia has another digest":      {client, in.digest, "$pbkdf2-sha512$310000$c8p78n7pUMln0jzvd4aK4Q$JNRBzwAo0ek5qKn50cFzzvE9RXV88h1wJn5KGiHrD0YKtZaR/nCb2CJPOsKaPK0hjf.9yHxzQGZziziccp6Yng", "authelia_client_secret", true},
	} {
		t.Run(name, func(t *testing.T) {
			if m.file == caddy || m.file == env {
				t.Parallel() // the stand-ins stay as they are
			} else {
				t.Cleanup(in.serve)
			}
			w := in.copy(t)
			w.edit(m.file, m.old, m.new)
			for round := 0; ; round++ {
				found, code := w.doctor()
				left := found.beside(healthy)
				if round == 0 && !left.has(m.code) {
					t.Fatalf("the doctor found %+v, want %s", left, m.code)
				}
				if len(left) == 0 {
					if code != 0 {
						t.Errorf("the doctor exited with %d, want 0", code)
					}
					return
				}
				if round == 3 {
					t.Fatalf("after the advice was followed, the doctor still finds %+v", left)
				}
				if m.known && round == 0 {
					if left[0].Line == "" {
						t.Errorf("the finding names no line: %+v", left[0])
					}
					w.write(m.file, readFile(t, in.folder, m.file))
					continue
				}
				w.apply(left[0])
			}
		})
	}
}
