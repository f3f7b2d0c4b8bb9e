// Every code of the doctor: what it means and what to do. docs/troubleshooting.md
// is made of it.

package doctor

// Cause is what a code stands for.
type Cause struct {
	Level Level
	What  string // what is wrong
	Fix   string // what to do
}

// Codes are the causes by their stable code.
var Codes = map[string]Cause{
	// The configuration.
	"config_no_gate":           {Problem, "No site of the configuration has romm_oidc.", "Add romm_oidc to RomM's site, or name the right file with --config."},
	"config_refused":           {Problem, "Caddy does not accept the configuration.", "Do what the error says; it names the line."},
	"config_setting":           {Problem, "A setting has a value that cannot work, or lacks one.", "Write what the finding says."},
	"config_secret_unset":      {Problem, "A setting reads an environment variable that is not set, or a file that cannot be read.", "Set the variable where Caddy runs, or mount the file."},
	"config_secret_digest":     {Problem, "client_secret is the digest for Authelia, not the secret.", "Put the secret into Caddy's environment, and the digest into Authelia's configuration."},
	"config_secret_quoted":     {Problem, "client_secret has quotes around it, which an environment file makes part of the value.", "Remove the quotes."},
	"config_secret_characters": {Warning, "The secret that RomM uses has characters other than letters and digits, which RomM does not encode as the standard asks.", "Make a secret of letters and digits, and set it at all three places."},
	"config_secret_literal":    {Warning, "A secret is written in the configuration, which the admin API and the autosaved configuration show.", "Write {env.OIDC_CLIENT_SECRET} or {file./run/secrets/romm}."},
	"config_issuer_is_site":    {Problem, "The issuer is RomM's own site.", "Write Authelia's public URL."},
	"config_http_origin":       {Warning, "The site is http, so that any device on the network can take over sessions.", "Give the site a name with a certificate."},
	"config_no_roles":          {Note, "Without roles, RomM decides who is an administrator: the first user to sign in to a new RomM is none.", "Add roles with your own e-mail address under admin."},
	"config_second_gate":       {Problem, "Two romm_oidc directives handle the same request, and the second strips what the first stamps.", "Remove one."},
	"config_path_stripped":     {Problem, "handle_path or uri strip_prefix takes a part of the path before romm_oidc sees it.", "Use handle, which leaves the path as it is."},
	"config_rewrite":           {Problem, "A rewrite changes every path before romm_oidc sees it, so that the callback never arrives.", "Give it a matcher that leaves /api/* alone, or remove it."},
	"config_forward_auth":      {Problem, "forward_auth is in the way of the gate's own requests, so that every sign-in fails.", "Remove forward_auth: romm_oidc signs users in by itself."},
	"config_basic_auth":        {Problem, "basic_auth is before romm_oidc, and neither RomM nor a handheld has a password for it.", "Remove basic_auth."},
	"config_no_proxy":          {Problem, "No reverse_proxy follows romm_oidc, so that every sign-in fails.", "Add reverse_proxy with RomM's address after romm_oidc."},
	"config_api_not_covered":   {Problem, "No reverse_proxy after romm_oidc gets the paths below /api, which the sign-in needs.", "Proxy /api/* to RomM too."},
	"config_cookie_header":     {Problem, "reverse_proxy changes the Cookie header field, by which RomM knows the user.", "Remove header_up Cookie."},
	"config_handle_response":   {Problem, "reverse_proxy answers RomM's redirects itself, and the sign-in needs to see them.", "Limit handle_response to other statuses."},
	"config_stream_timeout":    {Warning, "A timeout of the server or of reverse_proxy cuts sockets and long downloads.", "Remove stream_timeout, read_timeout and write_timeout."},
	"config_redirect_host":     {Problem, "No site with romm_oidc answers the host of redirect_uri, so that the callback never arrives.", "Make redirect_uri and the site's address the same."},
	"config_inside_tls":        {Problem, "The address of the container network is served over TLS, with a certificate that RomM does not trust.", "Write http:// before it."},
	"config_inside_missing":    {Warning, "No address of the site is without TLS, so that RomM reaches its provider only at the public address.", "Add http://caddy:9080 to the site's addresses, or point RomM to the public address."},
	"config_blocks_differ":     {Problem, "Two blocks of one site differ in a setting that they share.", "Write the same in both, or import one snippet in both."},
	"config_open_upstream":     {Problem, "Another route passes requests to RomM without romm_oidc: it is open to everybody.", "Remove that route, or put romm_oidc before it."},
	"config_trusted_proxies":   {Warning, "trusted_proxies is set without trusted_proxies_strict, so that clients can choose the address that limits count.", "Add trusted_proxies_strict."},
	"config_admin_off":         {Note, "Caddy's admin API is off, so that the commands of romm-oidc and reloads do not work.", "Remove admin off; the API listens on this machine only."},
	"config_tls_ca":            {Problem, "The file of tls_ca cannot be read, or holds no certificate.", "Name a PEM file that Caddy's user can read."},
	// The network, and Authelia.
	"authelia_dns":              {Problem, "The name of Authelia is not known where Caddy runs.", "Correct the name, or set issuer_address to an address that Caddy knows, such as http://authelia:9091."},
	"authelia_unreachable":      {Problem, "Authelia cannot be reached from where Caddy runs.", "Start Authelia, or set issuer_address to an address that Caddy reaches, such as http://authelia:9091."},
	"authelia_certificate":      {Problem, "Caddy does not trust Authelia's certificate.", "Name the certificate authority's root: tls_ca /path/root.crt. A certificate that has expired must be renewed."},
	"authelia_certificate_soon": {Warning, "Authelia's certificate expires within days.", "Find out why it is not renewed."},
	"authelia_clock":            {Problem, "The clocks of Caddy and Authelia differ by more than a minute, so that tokens are refused.", "Set both clocks, for instance with NTP."},
	"authelia_metadata":         {Problem, "Authelia does not serve OpenID Connect metadata there.", "Set the provider up at Authelia (identity_providers: oidc), and write its public URL as issuer."},
	"authelia_forwarded":        {Problem, "Authelia refuses the name that Caddy asks it by: it answers at its authelia_url only, and a proxy before it may drop X-Forwarded-Host or X-Forwarded-Proto.", "Make issuer the same as the authelia_url under session: cookies, and have the proxy keep these header fields."},
	"authelia_issuer":           {Problem, "Authelia calls itself otherwise than issuer says.", "Write the issuer that the finding shows."},
	"authelia_endpoints":        {Problem, "Authelia's metadata lack an endpoint, or name one without TLS.", "Make the proxy before Authelia send X-Forwarded-Proto: https."},
	"authelia_keys":             {Problem, "Authelia's keys cannot be read, or none of them signs with RS256, PS256 or ES256.", "Add an RSA key under identity_providers: oidc: jwks."},
	"authelia_pkce":             {Warning, "The provider's metadata do not name PKCE with S256.", "Use a provider that supports it."},
	"authelia_client_id":        {Problem, "Authelia does not know the client ID.", "Register the client, or write its client_id."},
	"authelia_redirect_uri":     {Problem, "Authelia does not know the redirect URI. It compares every character.", "Write the redirect URI of the finding into the client's redirect_uris."},
	"authelia_scope":            {Problem, "Authelia does not allow the client a scope that is requested: a single one too many fails every sign-in.", "Add the scope to the client's scopes, or remove it from the Caddyfile."},
	"authelia_refused":          {Problem, "Authelia refuses the authorization request.", "Do what its description says."},
	"authelia_client_secret":    {Problem, "Authelia does not accept the client secret.", "Make client_secret the secret of which Authelia has the digest."},
	"authelia_client_auth":      {Problem, "The client authenticates in another way at Authelia.", "Write the client_auth of the finding."},
	"authelia_rate_limit":       {Warning, "Authelia answers no token requests for now, because too many have failed.", "Wait for a minute, and find the cause of the failures."},
	"authelia_logout":           {Note, "After a sign-out, Authelia does not send browsers back to RomM: its cookie's domain does not have RomM's name.", "Give both names one parent domain, and Authelia's cookie that domain."},
	"authelia_consent":          {Note, "With offline_access, Authelia asks for consent at every sign-in.", "Remove offline_access from scopes if the click is a bother."},
	// RomM.
	"romm_unreachable":        {Problem, "RomM cannot be reached where reverse_proxy says.", "Start RomM, or correct the address of reverse_proxy."},
	"romm_not_romm":           {Problem, "What answers at the address of reverse_proxy is not RomM.", "Write RomM's address."},
	"romm_version":            {Problem, "This RomM is too old.", "Update RomM to 3.10 or later."},
	"romm_version_roles":      {Problem, "This RomM is too old for roles.", "Update RomM to 4.8 or later, or remove roles."},
	"romm_oidc_off":           {Problem, "RomM's own OpenID Connect sign-in is off.", "Set OIDC_ENABLED=true in RomM's environment, and restart RomM."},
	"romm_cannot_reach_caddy": {Problem, "RomM cannot read its provider's metadata from Caddy.", "Set OIDC_SERVER_APPLICATION_URL to an address of the site that RomM's container reaches, such as http://caddy:9080/api/oauth/openid."},
	"romm_points_elsewhere":   {Problem, "RomM uses another sign-in provider than Caddy.", "Set OIDC_SERVER_APPLICATION_URL in RomM's environment to Caddy's address followed by /api/oauth/openid, and restart RomM."},
	"romm_client_id":          {Problem, "OIDC_CLIENT_ID in RomM's environment is not client_id.", "Write the client_id into OIDC_CLIENT_ID, and restart RomM."},
	"romm_redirect_uri":       {Problem, "OIDC_REDIRECT_URI in RomM's environment is not redirect_uri.", "Write the redirect_uri into OIDC_REDIRECT_URI, and restart RomM."},
	"romm_client_secret":      {Problem, "OIDC_CLIENT_SECRET in RomM's environment is not the secret that Caddy expects.", "Write the same secret into both environments, letters and digits only, and restart RomM."},
	"romm_roles_off":          {Problem, "roles is set, and RomM does not read roles.", "Set OIDC_CLAIM_ROLES=romm_roles, OIDC_ROLE_ADMIN=admin and OIDC_ROLE_VIEWER=user in RomM's environment, and restart RomM."},
	"romm_token_request":      {Problem, "RomM reads its provider's metadata from Caddy, and its token request does not arrive.", "Look for what is between RomM and Caddy: a proxy, HTTP_PROXY in RomM's environment."},
	"romm_clock":              {Problem, "RomM's clock differs from Caddy's by more than a minute, so that RomM refuses sign-ins.", "Set both clocks."},
	"romm_cookie_secure":      {Warning, "RomM's cookies do not fit the site's scheme.", "Set ROMM_SESSION_SECURE_COOKIE to true for an https site, and to false for an http site."},
	"romm_cors":               {Warning, "RomM lets pages of every site read its answers.", "Set ROMM_CORS_ALLOWED_ORIGINS to the site's address."},
	"romm_open_port":          {Problem, "RomM answers at the public name, past the gate.", "Do not publish RomM's port: remove it from ports in compose.yml."},
	"romm_no_administrator":   {Note, "RomM has no administrator yet.", "Sign in as a user under roles { admin }: they become RomM's administrator."},
	"romm_account_email":      {Warning, "An account in RomM has no e-mail address, so that its user gets a second account.", "Give the account the address that its user has at Authelia."},
	"romm_token":              {Warning, "RomM does not accept the token of --romm-token for its list of users.", "Use a token of an administrator with users.read."},
	// Caddy.
	"caddy_storage":      {Problem, "Caddy's storage cannot be read or written.", "Give Caddy's user the right to write there, or start the storage."},
	"caddy_keys":         {Problem, "The keys in the storage cannot be used.", "Do what the error says; see Keys in the documentation."},
	"caddy_provider":     {Problem, "The running Caddy could not read the provider's metadata.", "See the findings about Authelia."},
	"caddy_background":   {Warning, "Work beside the requests fails.", "Do what the error says."},
	"caddy_version":      {Warning, "This Caddy is older than the module was tested with.", "Build Caddy 2.11.9 or later."},
	"caddy_other_config": {Warning, "The running Caddy has another configuration than the file.", "Reload it: caddy reload."},
	"site_unreachable":   {Warning, "The site's public address does not answer from here.", "Point its name to this machine, and publish Caddy's ports. Some routers do not let machines at home reach it by its public name: then test from outside."},
	"site_certificate":   {Warning, "The site's certificate is not trusted here.", "Look for Caddy's error about it in the log."},
	"site_not_gate":      {Problem, "The site's public address is answered by something else than romm_oidc.", "Point the name to this Caddy, and put romm_oidc into its site."},
	"site_host_changed":  {Problem, "A proxy before Caddy changes the host or the scheme, so that the gate answers 421.", "Have the proxy keep the Host header field."},
}
