#!/usr/bin/env node
// A stdio MCP server for node, without any package. Its one tool, `report`, tells what a server meets in its sandbox.
'use strict'
const fs = require('fs')
const os = require('os')
const path = require('path')

function writable(directory) {
  try {
    fs.mkdirSync(directory, { recursive: true })
    fs.writeFileSync(path.join(directory, 'probe'), 'x')
    return true
  } catch (e) {
    return String(e)
  }
}

function report() {
  const cache = process.env.npm_config_cache || path.join(os.homedir(), '.npm')
  return {
    pid: process.pid,
    cpus: os.cpus().length,
    home: writable(os.homedir()),
    cache: writable(cache),
    tmp: writable(os.tmpdir()),
    compiled: new Function('return 6 * 7')()
  }
}

function answer(request) {
  switch (request.method) {
    case 'initialize':
      return {
        protocolVersion: request.params.protocolVersion,
        capabilities: { tools: {} },
        serverInfo: { name: 'node', version: process.version }
      }
    case 'tools/list':
      return { tools: [{ name: 'report', inputSchema: { type: 'object' } }] }
    case 'tools/call':
      return { content: [{ type: 'text', text: JSON.stringify(report()) }] }
    default:
      return {}
  }
}

require('readline').createInterface({ input: process.stdin }).on('line', line => {
  const request = JSON.parse(line)
  if (request.id !== undefined && request.method) {
    process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id: request.id, result: answer(request) }) + '\n')
  }
})
