#!/usr/bin/env node
/**
 * What is started as `nslink` where the command is shipped.
 */

import { dirname } from "node:path";
import { CachedModules } from "./code_cache.ts";

new CachedModules(dirname(import.meta.filename)).load("main.js");
