// What a Node backend does with jose, driven by the tests. `argv[2]` is the folder that holds `jose`.
// Reads a JSON list of orders from stdin, writes the list of answers: {"ok": ...} or {"error": "CODE"}.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const home = join(process.argv[2], 'jose')
const { main } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'))
const jose = await import(pathToFileURL(join(home, main)).href)

const requiredClaims = ['sub', 'jti', 'iat', 'exp', 'gen', 'seq', 'auth_time']
const orders = {
  // As a backend would, from the JWKS alone.
  async verify ({ jwks, token, issuer, audience }) {
    const keys = jose.createLocalJWKSet(jwks)
    const options = { algorithms: ['EdDSA'], issuer, audience, requiredClaims }
    return (await jose.jwtVerify(token, keys, options)).payload
  },
  async verify_hs256 ({ secret_hex, token, issuer, audience }) {
    const options = { algorithms: ['HS256'], issuer, audience }
    return (await jose.jwtVerify(token, Buffer.from(secret_hex, 'hex'), options)).payload
  },
  async sign ({ alg, headers, claims, pem, secret_hex }) {
    if (alg === 'none') return new jose.UnsecuredJWT(claims).encode()
    const key = pem ? await jose.importPKCS8(pem, alg) : Buffer.from(secret_hex, 'hex')
    return new jose.SignJWT(claims).setProtectedHeader({ alg, ...headers }).sign(key)
  },
  // A private key as Node programs write it.
  async new_pem () {
    const { privateKey } = await jose.generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
    return jose.exportPKCS8(privateKey)
  }
}

async function answer (order) {
  try {
    return { ok: await orders[order.do](order) }
  } catch (error) {
    return { error: error.code ?? error.name }
  }
}

const asked = JSON.parse(readFileSync(0, 'utf8'))
process.stdout.write(JSON.stringify(await Promise.all(asked.map(answer))))
